"""A simulated NVML driver, which the sensors and the watch both read."""

from __future__ import annotations

import subprocess

import pytest

_NVML = r"""
#include <stdlib.h>
static unsigned long long energy = 7000;
static int is(const char *word) { const char *said = getenv("SIMULATED_NVML"); return said && *said == *word; }
int nvmlInit_v2(void) { return is("d") ? 9 : 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = &energy; return index; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
  if (is("j") || is("p")) return 3;
  if (is("l")) return 15;
  *mj = *(unsigned long long *)device += 500; return 0; }
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) { if (is("j")) return 3; *mw = 250500; return 0; }
int nvmlDeviceGetTemperature(void *device, unsigned of, unsigned *c) {
  if (is("j") || of != 0) return 3;
  if (is("l")) return 15;
  *c = 61; return 0; }
int nvmlDeviceGetClockInfo(void *device, unsigned of, unsigned *mhz) {
  if (is("j") || of != 1) return 3;
  if (is("l")) return 15;
  *mhz = 1755; return 0; }
const char *nvmlErrorString(int code) { return code == 3 ? "Not Supported" : code == 15 ? "GPU is lost" : "No driver"; }
"""


@pytest.fixture(scope="session")
def simulated_nvml(tmp_path_factory) -> str:
    """Build a library with NVML's signatures: ctypes calls it as it would the driver's."""
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(_NVML)
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(folder / "nvml.c")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no C compiler here")
    return str(folder / "libnvidia-ml.so.1")
