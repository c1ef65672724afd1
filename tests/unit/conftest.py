"""A simulated NVML driver for the tests of the sensors and of the watch."""

from __future__ import annotations

import subprocess

import pytest

_NVML = r"""
#include <stdlib.h>
static unsigned long long energy = 7000;
static int is(const char *letter) { const char *state = getenv("SIMULATED_NVML"); return state && *state == *letter; }
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
    """Build a library with NVML's signatures, which ctypes calls as it would the driver's, and return its path.

    The first letter of the environment variable SIMULATED_NVML is its state: "d", the driver does not start; "j", as a
    Jetson's GPU it supports nothing; "p", it reports power and no energy; "l", the card is lost.
    """
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(_NVML)
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(folder / "nvml.c")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no C compiler here")
    return str(folder / "libnvidia-ml.so.1")
