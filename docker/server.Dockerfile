# A server with an NVIDIA GPU: engines are built and run in it. Not built yet: no GPU was at hand (docs/serving.md).
# docker build -f docker/server.Dockerfile -t maskrt .
# docker run --gpus all -v "$PWD:/data" maskrt build model.onnx -o model.engine
FROM nvcr.io/nvidia/tensorrt:24.08-py3

# TensorRT 10.3 and its Python package, CUDA 12.6, nvcc and the headers are the image's. The environment sees them.
WORKDIR /opt/maskrt
COPY pyproject.toml README.md LICENSE ./
COPY maskrt maskrt
COPY runtime runtime
COPY models models
COPY training training
COPY export export
COPY calibration calibration
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir '.[gpu]' 'cuda-python==12.6.*' \
    && useradd --create-home --uid 10001 maskrt

# The plugins go into this user's cache, so that `maskrt build` finds them. A GPU is not needed to compile.
USER maskrt
RUN /opt/venv/bin/maskrt build-plugins --arch 80,86,89,90

WORKDIR /data
ENTRYPOINT ["/opt/venv/bin/maskrt"]
CMD ["doctor"]
