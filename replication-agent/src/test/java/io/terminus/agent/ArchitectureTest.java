package io.terminus.agent;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(packages = "io.terminus", importOptions = DoNotIncludeTests.class)
class ArchitectureTest {

    /**
     * app -> nbd, admin, lock, peer -> volume -> journal, image, trace; nbd, peer -> net; admin may ask peers. Who feeds a peer
     * or makes a volume names journals too.
     */
    @ArchTest
    static final ArchRule arrows = layeredArchitecture()
            .consideringOnlyDependenciesInAnyPackage("io.terminus..")
            .layer("app")
            .definedBy("io.terminus.agent.app..")
            .layer("nbd")
            .definedBy("io.terminus.agent.nbd..")
            .layer("admin")
            .definedBy("io.terminus.agent.admin..")
            .layer("lock")
            .definedBy("io.terminus.agent.lock..")
            .layer("peer")
            .definedBy("io.terminus.agent.peer..")
            .layer("volume")
            .definedBy("io.terminus.agent.volume..")
            .layer("journal")
            .definedBy("io.terminus.agent.journal..")
            .layer("image")
            .definedBy("io.terminus.agent.image..")
            .layer("trace")
            .definedBy("io.terminus.agent.trace..")
            .layer("net")
            .definedBy("io.terminus.agent.net..")
            .optionalLayer("ranges")
            .definedBy("io.terminus.ranges..")
            .optionalLayer("lock client")
            .definedBy("io.terminus.lockmgr.client..")
            .optionalLayer("fencing")
            .definedBy("io.terminus.lockmgr.fencing..")
            .optionalLayer("proto")
            .definedBy("io.terminus.proto..")
            .whereLayer("app")
            .mayNotBeAccessedByAnyLayer()
            .whereLayer("nbd")
            .mayOnlyBeAccessedByLayers("app")
            .whereLayer("admin")
            .mayOnlyBeAccessedByLayers("app")
            .whereLayer("lock")
            .mayOnlyBeAccessedByLayers("app")
            .whereLayer("peer")
            .mayOnlyBeAccessedByLayers("app", "admin")
            .whereLayer("volume")
            .mayOnlyBeAccessedByLayers("app", "admin", "lock", "peer")
            .whereLayer("journal")
            .mayOnlyBeAccessedByLayers("volume", "peer", "admin")
            .whereLayer("image")
            .mayOnlyBeAccessedByLayers("volume")
            .whereLayer("trace")
            .mayOnlyBeAccessedByLayers("volume")
            .whereLayer("net")
            .mayOnlyBeAccessedByLayers("app", "nbd", "peer")
            .whereLayer("ranges")
            .mayOnlyBeAccessedByLayers("volume", "lock", "lock client", "fencing")
            .whereLayer("fencing")
            .mayOnlyBeAccessedByLayers("volume")
            .whereLayer("lock client")
            .mayOnlyBeAccessedByLayers("lock");

    @ArchTest
    static final ArchRule noCycles =
            slices().matching("io.terminus.agent.(*)..").should().beFreeOfCycles();

    @ArchTest
    static final ArchRule theDataPathKnowsNoSpring = noClasses()
            .that()
            .resideInAPackage("io.terminus.agent..")
            .and()
            .resideOutsideOfPackages("..agent.app..", "..agent.admin..", "..agent.lock..")
            .should()
            .dependOnClassesThat()
            .resideInAPackage("org.springframework..");

    @ArchTest
    static final ArchRule theDataPathKnowsNoGrpc = noClasses()
            .that()
            .resideInAPackage("io.terminus.agent..")
            .and()
            .resideOutsideOfPackages("..agent.app..", "..agent.admin..", "..agent.lock..", "..agent.peer..")
            .should()
            .dependOnClassesThat()
            .resideInAPackage("io.grpc..");
}
