# The command line and NBD clients, for jobs and tests: docker build -f docker/tools.Dockerfile -t terminus/tools .
#
# A Java 25 runtime on Debian or Ubuntu.
ARG BASE=eclipse-temurin:25-jre-noble
FROM ${BASE}
ARG VERSION=0.1.0-SNAPSHOT
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Terminus tools" \
      org.opencontainers.image.description="The terminus command, and clients for NBD" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libnbd-bin qemu-utils curl jq \
 && rm -rf /var/lib/apt/lists/*
COPY cli/target/lib/ /opt/terminus/lib/
COPY cli/target/cli.jar /opt/terminus/cli.jar
COPY docker/terminus /usr/local/bin/terminus
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/terminus"]
