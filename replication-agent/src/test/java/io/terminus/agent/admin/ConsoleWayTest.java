package io.terminus.agent.admin;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.URI;
import org.junit.jupiter.api.Test;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;

class ConsoleWayTest {

    @Test
    void leadsToTheLockManagersHostAtThePortBehindItsGrpc() {
        assertThat(ConsoleWay.guess("locks.example:10811", "agent.example"))
                .isEqualTo(URI.create("http://locks.example:10812/console/"));
    }

    @Test
    void aLockManagerOnTheAgentsHostIsWhereTheBrowserFoundTheAgent() {
        assertThat(ConsoleWay.guess("localhost:20001", "agent.example"))
                .isEqualTo(URI.create("http://agent.example:20002/console/"));
    }

    @Test
    void whatIsSetCounts() {
        URI set = URI.create("https://console.example/");

        ResponseEntity<Void> answer = new ConsoleWay(set, "a:1").from("agent.example");

        assertThat(answer.getStatusCode()).isEqualTo(HttpStatus.FOUND);
        assertThat(answer.getHeaders().getLocation()).isEqualTo(set);
    }

    @Test
    void ofSeveralLockManagersTheFirstIsMeant() {
        ResponseEntity<Void> answer = new ConsoleWay(null, "a:1, b:1").from("agent.example");

        assertThat(answer.getHeaders().getLocation()).isEqualTo(URI.create("http://a:2/console/"));
    }
}
