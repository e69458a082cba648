package io.terminus.agent.admin;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.ListVolumesResponse;
import org.springframework.http.MediaType;
import org.springframework.http.ProblemDetail;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RestController;

/** Admin REST: the control service's messages as JSON. */
@RestController
@RequestMapping(path = "/api/v1", produces = MediaType.APPLICATION_JSON_VALUE)
public class AgentController {

    private static final JsonFormat.Printer JSON = JsonFormat.printer().alwaysPrintFieldsWithNoPresence();

    private final Volumes volumes;
    private final AgentControlService control;

    public AgentController(Volumes volumes, AgentControlService control) {
        this.volumes = volumes;
        this.control = control;
    }

    /** All volumes with a replica here, and on a writer the state of every peer. */
    @GetMapping("/volumes")
    public String list() throws InvalidProtocolBufferException {
        return JSON.print(ListVolumesResponse.newBuilder()
                .addAllVolumes(volumes.all().stream().map(control::status).toList())
                .build());
    }

    @GetMapping("/volumes/{name}")
    public ResponseEntity<?> volume(@PathVariable String name) throws InvalidProtocolBufferException {
        Volume v = volumes.byName(name);
        if (v == null) {
            return unknown(name);
        }
        return ResponseEntity.ok(JSON.print(control.status(v)));
    }

    /** The replicas of a volume as this agent sees them: its own, and on the writer its peers. */
    @GetMapping("/volumes/{name}/peers")
    public ResponseEntity<?> peers(@PathVariable String name) throws InvalidProtocolBufferException {
        Volume v = volumes.byName(name);
        if (v == null) {
            return unknown(name);
        }
        StringBuilder all = new StringBuilder("[");
        for (var replica : control.status(v).getReplicasList()) {
            all.append(all.length() > 1 ? "," : "").append(JSON.print(replica));
        }
        return ResponseEntity.ok(all.append(']').toString());
    }

    private ResponseEntity<ProblemDetail> unknown(String name) {
        ProblemDetail problem = ProblemDetail.forStatus(404);
        problem.setTitle("No such volume");
        problem.setDetail("agent " + volumes.agent() + " has no replica of a volume \"" + name + "\"");
        return ResponseEntity.of(problem).build();
    }
}
