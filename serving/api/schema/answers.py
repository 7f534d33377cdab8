"""What the API answers. These models make the OpenAPI document; a test holds the answers to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.api.errors import STATUS

RequestId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["6f1c2b7c0b0f4bb0a4d1c6ac8a1f0e55"])]


class Answer(BaseModel):
    """A part of an answer: exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class ReasonAnswer(Answer):
    """One thing that moved the risk of this accident away from the average."""

    feature: str = Field(description="The feature, or the group of features, that it sums up.")
    value: float | None = Field(description="The feature's value; null for a group.")
    text: str = Field(examples=["a pedestrian is hit"])
    weight: float = Field(description="SHAP value in log-odds; above 0 it raises the risk.", examples=[0.61])


class AskAnswer(Answer):
    """What is not known of this accident and would move its probability most."""

    feature: str = Field(description="The feature, or the group of features, to ask for.")
    change: float = Field(
        ge=0, le=1, description="By how much the answer moves the probability on average.", examples=[0.07]
    )
    text: str = Field(examples=["asking for the speed limit would help most: ..."])


class ModelAnswer(Answer):
    """Which model gave the answer."""

    name: str = Field(examples=["accident-severity-dispatch"])
    version: str = Field(examples=["3"])
    role: Literal["champion", "challenger"] = Field(
        description="challenger: a version that answers a share of the accidents on trial."
    )
    stage: Literal["dispatch", "on_scene"]
    synthetic: bool = Field(description="Learnt from synthetic accidents: not for use on real ones.")


class PredictionAnswer(Answer):
    """How likely it is that someone is killed or hospitalised, given that this is an injury accident."""

    request_id: RequestId
    accident_id: str | None = Field(description="As you sent it.")
    probability: float = Field(ge=0, le=1, examples=[0.4312])
    band: str = Field(description="Name of the band of risk.", examples=["high"])
    alert: bool = Field(description="Among the share of accidents that can be prioritised (the budget).")
    threshold: float = Field(description="The probability from which `alert` is true.", examples=[0.5561])
    reasons: list[ReasonAnswer] = Field(description="The strongest first; empty with ?reasons=false.")
    ask: AskAnswer | None = Field(
        description="What to ask next; null if nothing would help much, and with ?reasons=false."
    )
    model: ModelAnswer
    notes: list[str] = Field(
        description="What was filled in or not used.", examples=[["department 59 is taken from the commune"]]
    )


class Detail(Answer):
    """One mistake."""

    where: str = Field(description="The field.", examples=["vehicles[0].category"])
    message: str


class Error(Answer):
    """What went wrong."""

    code: Literal[tuple(STATUS)] = Field(description="For programs.")  # type: ignore[valid-type]
    message: str = Field(description="For people.")
    details: list[Detail]
    request_id: RequestId


class ErrorAnswer(Answer):
    """The one shape of every error."""

    error: Error


class BatchAnswer(Answer):
    """One entry for each accident, in order: its prediction, or what is wrong with it."""

    predictions: list[PredictionAnswer | ErrorAnswer]


class LabelAnswer(Answer):
    """What became of one outcome."""

    status: Literal["recorded", "unchanged", "corrected", "refused", "unknown"] = Field(
        description="refused: another caller said otherwise, or it was changed too often; a key with "
        "the scope `correct` may. unknown: there is no such prediction. Of both nothing is stored."
    )


class LabelsAnswer(Answer):
    """One entry for each outcome, in order."""

    results: list[LabelAnswer]


class HookAnswer(Answer):
    """What became of a notification."""

    loop: Literal["started", "running", "paused", "not needed"] = Field(
        description="paused: the last one was started only just now."
    )


class LiveAnswer(Answer):
    """The process answers."""

    status: Literal["live"]
    api: str = Field(description="Tells the API of one project and log from that of another.")


class RouteAnswer(Answer):
    """A version beside the champion."""

    role: Literal["challenger", "shadow"]
    version: str
    share: int = Field(ge=0, lt=100, description="Percent of the accidents it answers; 0 for a shadow.")


class ReadyAnswer(Answer):
    """Whether predictions can be made, and if not, what is missing."""

    ready: bool
    model_server: Literal["ready", "unavailable", "mismatch"]
    prediction_log: Literal["ready", "unavailable"]
    model: ModelAnswer | None
    rollout: list[RouteAnswer] = Field(description="Versions on trial beside the model, as of the last look.")
    reasons: list[str] = Field(description="Why it is not ready, and what to do.")


class WordsAnswer(Answer):
    """Words of the code list in a language: a label of each column, and a word of each code."""

    language: Literal["en", "fr"]
    labels: dict[str, str]
    codes: dict[str, dict[str, str]]
    retired: dict[str, list[str]] = Field(description="Codes that are understood, but no longer used.")
