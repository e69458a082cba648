package io.terminus.deploy;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;

/** A YAML document, walked by path. What is not there is an empty map, an empty list, or null. */
record Tree(Map<String, Object> map) {

    static List<Tree> all(String yaml) {
        List<Tree> documents = new ArrayList<>();
        for (Object document : parser().loadAll(yaml)) {
            if (document != null) {
                documents.add(of(document));
            }
        }
        return documents;
    }

    static Tree one(String yaml) {
        return of(parser().load(yaml));
    }

    Tree at(String... path) {
        Map<String, Object> here = map;
        for (String key : path) {
            Object next = here.get(key);
            here = next == null ? Map.of() : of(next).map();
        }
        return new Tree(here);
    }

    @Nullable
    Object value(String key) {
        return map.get(key);
    }

    int number(String key) {
        if (map.get(key) instanceof Integer number) {
            return number;
        }
        throw new AssertionError(key + " is not a number: " + map.get(key));
    }

    String text(String key) {
        return String.valueOf(map.get(key));
    }

    List<Tree> list(String key) {
        return map.get(key) instanceof List<?> list
                ? list.stream().map(Tree::of).toList()
                : List.of();
    }

    List<String> texts(String key) {
        return map.get(key) instanceof List<?> list
                ? list.stream().map(String::valueOf).toList()
                : List.of();
    }

    /** A key that stands there twice is a mistake, and not the last one's word. */
    private static Yaml parser() {
        LoaderOptions options = new LoaderOptions();
        options.setAllowDuplicateKeys(false);
        return new Yaml(options);
    }

    @SuppressWarnings("unchecked")
    private static Tree of(Object node) {
        if (!(node instanceof Map)) {
            throw new AssertionError("not a map: " + node);
        }
        return new Tree((Map<String, Object>) node);
    }
}
