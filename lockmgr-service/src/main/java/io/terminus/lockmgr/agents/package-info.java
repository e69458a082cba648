/** What the agents say of the volumes whose value blocks are kept here, and what operators ask of them; over gRPC. */
@org.jspecify.annotations.NullMarked
package io.terminus.lockmgr.agents;
