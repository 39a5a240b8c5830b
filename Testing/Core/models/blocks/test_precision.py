"""Half the digits: on which devices they are computed in, and what "auto" means there."""

from pathlib import Path

import pytest

from inference_core.models.blocks.precision import computes_bfloat16, resolve_precision

CPUINFO = Path("/proc/cpuinfo")


def test_a_processor_computes_in_bfloat16_where_linux_lists_instructions_for_it():
    if not CPUINFO.exists() or "\nflags" not in (told := CPUINFO.read_text(encoding="ascii", errors="replace")):
        pytest.skip("the processor's flags are listed by Linux on x86 alone")
    flags = set(told.partition("\nflags")[2].partition("\n")[0].split())
    assert computes_bfloat16("cpu") == bool(flags & {"avx512_bf16", "amx_bf16"})


def test_a_processor_is_never_told_to_by_itself():
    assert resolve_precision("auto", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
