"""Train image-translation GANs and run them over large image archives.

Three floors, imports downwards only: `flows` (Prefect: when), `tasks` (Ray and DVC: where and whether),
`models` (PyTorch: how).
"""

__version__ = "0.1.0"
