"""The local dashboard opens on the runs, not on a form."""

from pathlib import Path

from stacks.dashboard import skip_survey


def test_the_survey_is_answered_before_the_dashboard_opens(zenml_store: Path) -> None:
    from zenml.client import Client

    assert Client().active_user.email_opted_in is None
    skip_survey()
    # What the dashboard's own code asks before it shows the form.
    user = Client().get_user(Client().active_user.id)
    assert user.email_opted_in is False
    assert user.user_metadata["finished_onboarding_survey"] is True
