"""SAM (Kirillov et al., ICCV 2023), slice by slice."""
