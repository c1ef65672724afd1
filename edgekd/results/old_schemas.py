"""Reader of old result files: plain data of any earlier schema becomes plain data of the current one.

Schema history:

1. The first.
2. Metrics of a whole set (``set_metrics``); ``agreement_`` before a metric that was scored without ground truth.
3. Several processes per result; ``Run.is_steady`` says whether each warm-up converged.
4. Streams and samples per query, times of each step of one image, a reference workload, the board's power mode and
   clock limits, conditions around each block, energy, time per node.
5. Plain names for fields of schema 4 (the tables below), and ``stage_seconds``.

Schemas 1 to 3 only lack fields of schema 4, which have defaults; only names need to be translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Renamed in schema 5: old name → new name, for each kind of object in the file.
_RESULT = {
    "yardstick": "reference_workload",
    "yardstick_sha256": "reference_workload_sha256",
    "no_energy": "energy_unavailable",
}
_ENGINE = {"notice": "caveat"}
_CANDIDATE = {"stages_ns": "end_to_end_ns"}
_ENERGY = {"reader": "sensor", "sees": "description"}
_RUN = {"watched": "block_conditions"}
_BLOCK_CONDITIONS = {"foreign_cores": "background_cores"}


def upgrade(data: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """Translate a result's plain data to the current schema.

    Args:
        data: The file's content, without its ``schema``. It is not changed. Values of an unexpected type are passed on
            as they are: the parser that reads the upgraded data names them.
        schema: The schema the data was written in, 1 or more.

    Returns:
        The same data under the current names.
    """
    if schema > 4:
        return dict(data)
    result = _renamed(data, _RESULT)
    for key, upgraded in (("candidates", _candidate), ("engines", _engine), ("reference_workload", _run)):
        if isinstance(result.get(key), list):
            result[key] = [upgraded(item) for item in result[key]]
    return result


def _candidate(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    candidate = _renamed(data, _CANDIDATE)
    if isinstance(candidate.get("runs"), list):
        candidate["runs"] = [_run(run) for run in candidate["runs"]]
    if isinstance(candidate.get("energy"), dict):
        candidate["energy"] = _renamed(candidate["energy"], _ENERGY)
    return candidate


def _engine(data: Any) -> Any:
    return _renamed(data, _ENGINE) if isinstance(data, dict) else data


def _run(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    run = _renamed(data, _RUN)
    if isinstance(run.get("block_conditions"), dict):
        run["block_conditions"] = _renamed(run["block_conditions"], _BLOCK_CONDITIONS)
    return run


def _renamed(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in data.items()}
