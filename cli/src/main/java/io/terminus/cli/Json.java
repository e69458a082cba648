package io.terminus.cli;

import tools.jackson.databind.json.JsonMapper;

/** A value as JSON on one line, for scripts. */
final class Json {

    private Json() {}

    static String write(Object value) {
        return JsonMapper.shared().writeValueAsString(value);
    }
}
