"""The base class of all sections of the parameters."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A section of the parameters: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
