# hemafeat with compiled kernels, for an account that is not root:
#   docker build -t hemafeat .                                     # or with --build-arg "EXTRAS=[slides,rois]"
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" hemafeat extract cells/ --out features/
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist /src

FROM python:${PYTHON}-slim
ARG EXTRAS=""
COPY --from=build /dist /dist
# OpenCV without graphics: this image lacks their libraries, and hemafeat opens no window. XGBoost
# needs NCCL (0.5 GB) for several GPUs only.
RUN pip install --no-cache-dir "$(echo /dist/hemafeat-*.whl)${EXTRAS}" \
    && pip uninstall --yes opencv-python nvidia-nccl-cu12 nvidia-nccl-cu13 \
    && pip install --no-cache-dir "opencv-python-headless>=4.10.0.84" \
    && rm -r /dist
# Kernels that run on any processor of this architecture, and caches that any user may write to.
ENV NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/opt/hemafeat/kernels \
    MPLCONFIGDIR=/opt/hemafeat/matplotlib
RUN hemafeat compile --families all --quiet \
    && python -c "import matplotlib.font_manager" \
    && chmod -R a+rwX /opt/hemafeat \
    && useradd --create-home --uid 1000 hemafeat
USER 1000
WORKDIR /data
ENTRYPOINT ["hemafeat"]
CMD ["--help"]
