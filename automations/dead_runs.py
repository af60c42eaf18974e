"""What to do about a run that was killed too hard to say so: it still looks alive, and keeps its slot."""

from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture

SILENT_FOR = timedelta(seconds=120)  # runs give a sign of life every 30 seconds, see prefect.yaml


def dead_runs(reconcile: UUID, *, silent_for: timedelta = SILENT_FOR) -> Automation:
    """Return the automation that marks a run without a sign of life as crashed, and starts another `reconcile`.

    Marking it frees the schedule's one slot. Starting `reconcile` anew is safe at any time: what the dead run held is
    looked up at Credly before anything is sent again.

    Args:
        reconcile: the id of the deployment to start.
        silent_for: how long a run may give no sign of life; at least twice the time between two of them.
    """
    return Automation(
        name="Laurel: a run died",
        description="Marks a run without a sign of life as crashed, and starts reconcile again.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},  # the next sign of life, or the run's end under whatever name
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=silent_for,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"No sign of life for {silent_for.total_seconds():.0f} seconds: its process is gone. "
                "Nothing is lost; the next run of reconcile takes up its work.",
            ),
            RunDeployment(source="selected", deployment_id=reconcile),
        ],
    )
