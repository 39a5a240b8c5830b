"""What lies beside the repository and is not part of it: real volumes, reference values. Its tests skip without."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared"
