"""Training generators on shower samples, and exporting them (extra `training`).

`sample` → `variables` (what the network sees of a shower) → `network` → `flow` (flow matching)
→ `distillation` (a few long steps instead of many short ones) → `export` (ONNX and card).
"""
