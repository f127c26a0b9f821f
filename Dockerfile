# The same program as `npm run build` makes, on an LTS of Node that the tests run on, without npm's development packages.
#   docker build -t matrix-knock .
#   docker run --read-only --user 1000 -v /srv/knock:/data -p 127.0.0.1:8450:8450 matrix-knock
ARG NODE_VERSION=24

FROM node:${NODE_VERSION}-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY scripts/build.mjs ./scripts/build.mjs
RUN npm run build && npm prune --omit=dev

FROM node:${NODE_VERSION}-slim
COPY --from=build /app/package.json /app/package.json
COPY --from=build /app/node_modules /app/node_modules
COPY --from=build /app/dist /app/dist
# Any uid may run it: a uid without a name has group 0.
RUN mkdir /data && chown 10001:0 /data && chmod 0770 /data
ENV NODE_ENV=production \
    MATRIX_KNOCK__LISTEN__HOST=0.0.0.0
USER 10001:0
VOLUME /data
# The sample configuration says ./data/…: from here that is the volume.
WORKDIR /
EXPOSE 8450
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 \
    CMD ["node", "/app/dist/main.js", "health", "-c", "/data/config.yaml"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["run", "-c", "/data/config.yaml"]
