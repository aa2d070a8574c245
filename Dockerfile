# syntax=docker/dockerfile:1

FROM golang:1.26-bookworm AS build
WORKDIR /src
# The modules first: their layer lasts until go.mod changes.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags "-s -w -X main.version=${VERSION}" \
    -o /out/claudebench ./cmd/claudebench

# No shell, no package manager; root certificates for rediss:// and Postgres over TLS.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/claudebench /claudebench
EXPOSE 3000
# The port that `serve` listens on unless it is told otherwise. There is no curl here.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/claudebench", "ready", "--url", "http://127.0.0.1:3000"]
ENTRYPOINT ["/claudebench"]
CMD ["serve"]
