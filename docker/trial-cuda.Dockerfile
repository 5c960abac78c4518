# What trials on NVIDIA GPUs run in. PyTorch's packages bring CUDA's libraries; the driver comes
# from the host, by its container toolkit.
#
#   docker build --file docker/trial-cuda.Dockerfile --tag hpo-trial:cuda docker
FROM nvidia/cuda:12.8.1-base-ubuntu24.04
ARG PACKAGES="torch==2.9.1 numpy==2.3.4"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# hadolint ignore=DL3013
RUN set -f && pip install --no-cache-dir ${PACKAGES}

RUN useradd --create-home --uid 10001 trial
USER 10001
WORKDIR /home/trial
