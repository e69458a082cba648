package io.terminus.agent.volume;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Comparator;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * What a kill of the process leaves of a directory in use: all files as they were at one moment. The process goes on
 * meanwhile (it prepares segments, writes checkpoints), so a copy counts only if nothing changed while it was made.
 */
final class CrashCopy {

    private static final int ATTEMPTS = 200;

    private CrashCopy() {}

    static Path of(Path source, Path target) throws IOException {
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            try {
                Map<Path, String> before = state(source);
                copy(source, target);
                if (state(source).equals(before)) {
                    return target;
                }
            } catch (NoSuchFileException e) {
                // A file went while it was looked at: this is no moment's picture either.
            }
            if (Files.exists(target)) {
                delete(target);
            }
        }
        throw new IllegalStateException(source + " changed during each of " + ATTEMPTS + " copies");
    }

    static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    private static Map<Path, String> state(Path directory) throws IOException {
        Map<Path, String> state = new TreeMap<>();
        Files.walkFileTree(directory, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                state.put(file, attributes.fileKey() + " " + attributes.size() + " " + attributes.lastModifiedTime());
                return FileVisitResult.CONTINUE;
            }
        });
        return state;
    }

    private static void copy(Path source, Path target) throws IOException {
        Files.walkFileTree(source, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes)
                    throws IOException {
                Files.createDirectories(target.resolve(source.relativize(directory)));
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.copy(file, target.resolve(source.relativize(file)));
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
