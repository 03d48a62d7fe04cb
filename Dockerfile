# docker build -t lettaform . && docker run --rm -v "$PWD:/fleet" -e LETTA_BASE_URL -e LETTA_API_KEY lettaform plan
FROM python:3.12-slim AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.12-slim
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir /wheel/*.whl && rm -r /wheel && useradd --create-home fleet
USER fleet
WORKDIR /fleet
ENTRYPOINT ["lettaform"]
CMD ["--help"]
