"""The settings of the `evidently_modern` data validator."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from zenml.data_validators.base_data_validator import BaseDataValidatorConfig


class EvidentlyModernConfig(BaseDataValidatorConfig):
    """When a column, and when a whole dataset, counts as drifted; how much is looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number_threshold: float = Field(
        default=0.05,
        gt=0,
        le=10,
        description="Wasserstein distance, in standard deviations of the reference.",
    )
    category_threshold: float = Field(
        default=0.05,
        gt=0,
        le=0.8,
        description="Jensen-Shannon distance between the shares of the categories; at least twice what "
        "chance gives.",
    )
    missing_threshold: float = Field(
        default=0.1, gt=0, le=1, description="Change of the share of missing values, in absolute terms."
    )
    significance: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Chance of one false alarm or more among the columns that are tested by p-value.",
    )
    drift_share: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Share of the comparable features that makes the dataset drifted.",
    )
    min_values: int = Field(
        default=30, ge=2, description="With fewer known values on either side a column is not compared."
    )
    small_values: int = Field(
        default=5000, ge=1, description="Up to so many known values, a p-value is used instead of a distance."
    )
    max_rows: int = Field(
        default=50_000,
        ge=100,
        description="Rows of each dataset that Evidently sees; from more, a sample, and of a column that has "
        "fewer than min_values there all that are known.",
    )
    max_categories: int = Field(
        default=150, ge=2, description="Categories of a column told apart; the rarest beyond become one."
    )
    seed: int = Field(default=7, ge=0, description="Seed of the sample.")
