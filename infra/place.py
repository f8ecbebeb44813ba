"""Where a service's state lies: in a folder of this machine, or on a stage on AWS.

Both give the same stores under the same names, so a command works on either. This names their types and
imports neither: who works on a folder has no boto3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from infra.cloud.stage import Stage
    from infra.workspace import Workspace

Place: TypeAlias = "Workspace | Stage"
