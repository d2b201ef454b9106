"""Links the records of each customer, and assigns ids to customers. Never writes tables."""
