# Adds the library to OpenResty's image: docker build -t openresty-sessions .
# OpenResty searches site/lualib before its own files, so that nginx.conf needs no paths.

ARG OPENRESTY=bookworm

FROM rust:1-bookworm AS build
RUN apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends libssl-dev pkg-config
WORKDIR /build
COPY . .
RUN make build-lua build-cli \
  && make install-lua install-cli install-sql DESTDIR=/install PREFIX=/usr/local \
    LUA_LIB_DIR=/usr/local/openresty/site/lualib LUA_CLIB_DIR=/usr/local/openresty/site/lualib

FROM openresty/openresty:${OPENRESTY}
RUN apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends libssl3 ca-certificates \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /install /
