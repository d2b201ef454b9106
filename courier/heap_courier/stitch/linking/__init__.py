"""Links the records of each customer, and assigns ids to customers. Writing tables is not part of it."""
