package io.terminus.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class StatusReportTest {

    private static StatusReport report(@Nullable Long pidOfB, @Nullable String nbd) {
        return report(pidOfB, nbd, null);
    }

    private static StatusReport report(@Nullable Long pidOfB, @Nullable String nbd, StatusReport.@Nullable Copy copy) {
        PortPlan ports = new PortPlan(10809);
        return new StatusReport(
                List.of(
                        new StatusReport.ProcessStatus(
                                "lockmgr",
                                "lock-manager",
                                41L,
                                "/d/lockmgr",
                                ports.endpoints(SetMember.LOCKMGR),
                                true,
                                true),
                        new StatusReport.ProcessStatus(
                                "b",
                                "agent",
                                pidOfB,
                                "/d/b",
                                ports.endpoints(SetMember.B),
                                pidOfB != null,
                                pidOfB != null)),
                List.of(new StatusReport.Volume(
                        "demo",
                        1L << 30,
                        "a",
                        3,
                        "received",
                        nbd,
                        nbd == null ? "waiting for b" : "",
                        1L,
                        2L,
                        false,
                        List.of(new StatusReport.Replica(
                                "a", "/d/a/demo.img", true, true, 12288, 8192, 4096, 0, "", copy, 0)))));
    }

    @Test
    void theJsonIsTheContract() {
        String json = report(null, null).toJson();

        assertThat(json).isEqualTo("""
                {
                  "processes" : [ {
                    "name" : "lockmgr",
                    "role" : "lock-manager",
                    "pid" : 41,
                    "dir" : "/d/lockmgr",
                    "endpoints" : {
                      "grpc" : "localhost:10811",
                      "rest" : "localhost:10812"
                    },
                    "running" : true,
                    "healthy" : true
                  }, {
                    "name" : "b",
                    "role" : "agent",
                    "pid" : null,
                    "dir" : "/d/b",
                    "endpoints" : {
                      "grpc" : "localhost:10816",
                      "rest" : "localhost:10817",
                      "nbd" : "localhost:10810",
                      "peer" : "localhost:10818"
                    },
                    "running" : false,
                    "healthy" : false
                  } ],
                  "volumes" : [ {
                    "name" : "demo",
                    "sizeBytes" : 1073741824,
                    "writer" : "a",
                    "term" : 3,
                    "ackLevel" : "received",
                    "nbd" : null,
                    "detail" : "waiting for b",
                    "locksHeld" : 1,
                    "locksWaiting" : 2,
                    "writesWait" : false,
                    "replicas" : [ {
                      "agent" : "a",
                      "image" : "/d/a/demo.img",
                      "inSync" : true,
                      "connected" : true,
                      "received" : 12288,
                      "durable" : 8192,
                      "applied" : 4096,
                      "lagBytes" : 0,
                      "detail" : "",
                      "copy" : null,
                      "differingBlocks" : 0
                    } ]
                  } ]
                }""");
    }

    @Test
    void aCopyIsShownAsFarAsItIs() {
        StatusReport.Copy half = new StatusReport.Copy("copying", 64 << 20, 16 << 20, 1 << 20, 16L);
        StatusReport.Copy almost = new StatusReport.Copy("ending", 1L << 40, 1, 0, null);
        StatusReport.Copy unknown = new StatusReport.Copy("preparing", 0, 0, 0, null);

        assertThat(report(42L, "nbd://x", half).toJson())
                .contains("\"copy\" : {", "\"phase\" : \"copying\"", "\"leftBytes\" : 16777216");
        assertThat(CopyView.line(half)).isEqualTo("copying, 75 % of 64 MiB, 1 MiB/s, 16 s left");
        assertThat(CopyView.bar(half)).startsWith("[##################------] copying, 75 %");
        assertThat(CopyView.line(almost)).isEqualTo("ending, 99 % of 1 TiB, 0 B/s");
        assertThat(CopyView.bar(unknown)).isEqualTo("[------------------------] preparing");
        assertThat(CopyView.line(new StatusReport.Copy("copying", 10, 5, 1, 7_260L)))
                .endsWith("2 h 1 min left");
    }

    @Test
    void aSetWhoseWritesWaitIsNotWellAndSaysWhatFor() {
        StatusReport report = report(42L, "nbd://localhost:10809/demo");
        StatusReport.Volume demo = report.volumes().getFirst();
        StatusReport waits = new StatusReport(
                report.processes(),
                List.of(new StatusReport.Volume(
                        "demo",
                        demo.sizeBytes(),
                        "a",
                        3,
                        "received",
                        demo.nbd(),
                        "writes wait: [a] are in sync, and minCopies asks for 2",
                        1L,
                        2L,
                        true,
                        demo.replicas())));

        assertThat(waits.isWell()).isFalse();
        assertThat(waits.toJson()).contains("\"writesWait\" : true");
        assertThat(new StatusView(quiet()).lines(waits))
                .contains("demo: writes wait: [a] are in sync, and minCopies asks for 2");
        assertThat(new StatusView(quiet()).summary(waits))
                .contains("demo served, but writes wait: [a] are in sync, and minCopies asks for 2");
    }

    @Test
    void whatAReplicaThatWasNotHeardFromHasIsNotKnown() {
        StatusReport report = report(42L, "nbd://localhost:10809/demo");
        StatusReport.Volume demo = report.volumes().getFirst();
        StatusReport away = new StatusReport(
                report.processes(),
                List.of(new StatusReport.Volume(
                        "demo",
                        demo.sizeBytes(),
                        "a",
                        3,
                        "received",
                        demo.nbd(),
                        "",
                        1L,
                        2L,
                        false,
                        List.of(new StatusReport.Replica("b", "", false, false, -1, -1, -1, 4096, "", null, 0)))));

        assertThat(new StatusView(quiet()).lines(away))
                .contains("demo@b   no       ?         ?        ?        ?    -");
        assertThat(new StatusView(quiet()).summary(away))
                .contains("b not in sync received ? durable ? applied ? lag ?");
    }

    @Test
    void aSetIsWellWhenEverythingRunsAndIsServed() {
        assertThat(report(42L, "nbd://localhost:10809/demo").isWell()).isTrue();
        assertThat(report(null, "nbd://localhost:10809/demo").isWell()).isFalse();
        assertThat(report(42L, null).isWell()).isFalse();
        assertThat(StatusReport.empty().isWell()).isFalse();
    }

    @Test
    void peopleSeeATableAndTheReason() {
        List<String> lines = new StatusView(quiet()).lines(report(null, null));

        assertThat(lines)
                .containsExactly(
                        "PROCESS  ROLE          PID  STATE    GRPC             REST             NBD              PEER",
                        "lockmgr  lock-manager  41   serving  localhost:10811  localhost:10812  -                -",
                        "b        agent         -    down     localhost:10816  localhost:10817  localhost:10810"
                                + "  localhost:10818",
                        "",
                        "VOLUME  SIZE   WRITER  TERM  ACK       LOCKS              SERVED AT",
                        "demo    1 GiB  a       3     received  1 held, 2 waiting  -",
                        "",
                        "REPLICA  IN SYNC  RECEIVED  DURABLE  APPLIED  LAG  IMAGE",
                        "demo@a   yes      12288     8192     4096     0 B  /d/a/demo.img",
                        "",
                        "demo is not served: waiting for b");
    }

    private static Screen quiet() {
        return new Screen(
                new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8),
                new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8),
                false,
                false);
    }
}
