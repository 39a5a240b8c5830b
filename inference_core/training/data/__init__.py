"""Labeled data sets: read as they are laid out, split by patient, prepared, checked and cached. No torch here."""

from inference_core.training.data.cases import Case, DataSet, Split
from inference_core.training.data.layouts import read_data_set
from inference_core.training.data.splits import patient_of, split_by_patient

__all__ = ["Case", "DataSet", "Split", "patient_of", "read_data_set", "split_by_patient"]
