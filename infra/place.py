"""Where a service's state lies: in a folder of this machine, or on a stage on AWS.

Both give the same stores under the same names, so a command works on either.
"""

from __future__ import annotations

from infra.cloud.stage import Stage
from infra.workspace import Workspace

Place = Workspace | Stage
