package io.terminus.lockmgr.admin;

import io.swagger.v3.oas.annotations.Hidden;
import org.springframework.stereotype.Controller;
import org.springframework.web.bind.annotation.GetMapping;

/** Ways to the console, whose files are in the {@code console} module. */
@Hidden
@Controller
public final class ConsolePages {

    @GetMapping({"/", "/console"})
    String way() {
        return "redirect:/console/";
    }

    @GetMapping("/console/")
    String page() {
        return "forward:/console/index.html";
    }
}
