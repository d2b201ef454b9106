"""A group of settings: an object in the configuration, or the configuration itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingGroup(BaseModel):
    """Settings that do not change. Unknown keys are ignored, and no error shows a value."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)
