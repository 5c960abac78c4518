# What trials on CPUs run in, with the Docker and Kubernetes runners. Nothing of ours is needed in
# it: a POSIX shell, and what the training code imports.
#
#   docker build --file docker/trial-cpu.Dockerfile --tag hpo-trial:cpu docker
FROM python:3.12-slim
ARG PACKAGES="numpy==2.3.4 scikit-learn==1.7.2"
# hadolint ignore=DL3013
RUN set -f && pip install --no-cache-dir ${PACKAGES}

RUN useradd --create-home --uid 10001 trial
USER 10001
WORKDIR /home/trial
