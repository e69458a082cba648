package io.terminus.lockmgr;

import static com.tngtech.archunit.library.Architectures.layeredArchitecture;

import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(
        packages = {
            "io.terminus.lockmgr.app",
            "io.terminus.lockmgr.grpc",
            "io.terminus.lockmgr.admin",
            "io.terminus.lockmgr.agents",
            "io.terminus.lockmgr.store",
            "io.terminus.lockmgr.ha",
            "io.terminus.lockmgr.lock",
            "io.terminus.ranges",
            "io.terminus.proto"
        },
        importOptions = DoNotIncludeTests.class)
class ArchitectureTest {

    /** app -> grpc, admin, agents, store, ha -> lock -> ranges, admin -> agents, ha -> store; nothing else, and nothing of the clients or the other service. */
    @ArchTest
    static final ArchRule arrows = layeredArchitecture()
            .consideringOnlyDependenciesInAnyPackage("io.terminus..")
            .layer("app")
            .definedBy("io.terminus.lockmgr.app..")
            .layer("grpc")
            .definedBy("io.terminus.lockmgr.grpc..")
            .layer("admin")
            .definedBy("io.terminus.lockmgr.admin..")
            .layer("agents")
            .definedBy("io.terminus.lockmgr.agents..")
            .layer("store")
            .definedBy("io.terminus.lockmgr.store..")
            .layer("ha")
            .definedBy("io.terminus.lockmgr.ha..")
            .layer("lock")
            .definedBy("io.terminus.lockmgr.lock..")
            .layer("ranges")
            .definedBy("io.terminus.ranges..")
            .layer("proto")
            .definedBy("io.terminus.proto..")
            .whereLayer("app")
            .mayNotBeAccessedByAnyLayer()
            .whereLayer("grpc")
            .mayOnlyBeAccessedByLayers("app")
            .whereLayer("admin")
            .mayOnlyBeAccessedByLayers("app")
            .whereLayer("agents")
            .mayOnlyBeAccessedByLayers("app", "admin")
            .whereLayer("store")
            .mayOnlyBeAccessedByLayers("app", "ha")
            .whereLayer("ha")
            .mayOnlyBeAccessedByLayers("app")
            .whereLayer("lock")
            .mayOnlyBeAccessedByLayers("app", "grpc", "admin", "store", "ha")
            .whereLayer("ranges")
            .mayOnlyBeAccessedByLayers("lock")
            .whereLayer("proto")
            .mayOnlyBeAccessedByLayers("app", "grpc", "agents");
}
