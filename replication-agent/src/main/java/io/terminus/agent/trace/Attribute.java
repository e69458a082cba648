package io.terminus.agent.trace;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;

/** What spans say of a write: by volume, token and position it is found, in the other agents' journals too. */
final class Attribute {

    private static final AttributeKey<String> VOLUME = AttributeKey.stringKey("terminus.volume");
    private static final AttributeKey<Long> TERM = AttributeKey.longKey("terminus.term");
    private static final AttributeKey<Long> TOKEN = AttributeKey.longKey("terminus.token");
    private static final AttributeKey<Long> POSITION = AttributeKey.longKey("terminus.position");
    private static final AttributeKey<Long> OFFSET = AttributeKey.longKey("terminus.offset_bytes");
    private static final AttributeKey<Long> LENGTH = AttributeKey.longKey("terminus.length_bytes");
    static final AttributeKey<Boolean> DURABLE = AttributeKey.booleanKey("terminus.durable");
    static final AttributeKey<String> PEER = AttributeKey.stringKey("terminus.peer");
    static final AttributeKey<String> WRITER = AttributeKey.stringKey("terminus.writer");

    private Attribute() {}

    /** @param position behind the record */
    static Attributes of(String volume, long term, long token, long position, long offset, long length) {
        return Attributes.of(
                VOLUME, volume, TERM, term, TOKEN, token, POSITION, position, OFFSET, offset, LENGTH, length);
    }
}
