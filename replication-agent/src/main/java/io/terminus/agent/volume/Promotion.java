package io.terminus.agent.volume;

/** An operator's word that this agent is to write. */
record Promotion(boolean force, boolean acceptDataLoss) {}
