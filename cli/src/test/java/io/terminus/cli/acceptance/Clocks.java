package io.terminus.cli.acceptance;

import java.util.List;

/** The wall clocks of the machines of a set. */
interface Clocks {

    /** One for all, which nobody steps. */
    static Clocks ordinary() {
        return new Clocks() {
            @Override
            public List<String> place(String process) {
                return List.of();
            }

            @Override
            public boolean canStep() {
                return false;
            }

            @Override
            public void step(String process, long seconds) {
                throw new UnsupportedOperationException("one clock for all");
            }
        };
    }

    /** What stands right before a command that is to see this process's clock. */
    List<String> place(String process);

    boolean canStep();

    /** From now on its clock is off by so many seconds. */
    void step(String process, long seconds);
}
