# A Jetson Orin with JetPack 6.1 or 6.2. Not built yet: no Jetson was at hand (docs/jetson.md).
# docker build -f docker/jetson.Dockerfile -t maskrt .
# docker run --runtime nvidia -v "$PWD:/data" maskrt build model.onnx -o model.engine --jetson
FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0

# OpenCV is JetPack's, with GStreamer; TensorRT 10.3 and CUDA 12.6 are the image's.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libopencv-python python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/maskrt
COPY pyproject.toml README.md LICENSE ./
COPY maskrt maskrt
COPY runtime runtime
COPY models models
COPY training training
COPY export export
COPY calibration calibration
RUN python3 -m venv --system-site-packages /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir '.[jetson]' 'cuda-python==12.6.*' 'numpy<2' \
    && useradd --create-home --uid 10001 --groups video maskrt

USER maskrt
RUN /opt/venv/bin/maskrt build-plugins --arch 87

WORKDIR /data
ENTRYPOINT ["/opt/venv/bin/maskrt"]
CMD ["doctor"]
