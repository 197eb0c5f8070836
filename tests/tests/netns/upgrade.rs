//! Another map layout, forth and back, and another capacity, while a banned source floods.

use anyhow::{Result, ensure};
use gateway_tests::{
    gateway::{binary, binary_with_next_layout},
    lab::{FLOOD_V4, Lab},
    skip,
};

use super::{ban_and_flood, flood_goes_on, nothing_leaked};

#[test]
fn changed_layout_forth_and_back_leaks_nothing() -> Result<()> {
    if skip::without_root("netns::changed_layout_forth_and_back_leaks_nothing")? {
        return Ok(());
    }
    let Ok(next) = binary_with_next_layout() else {
        return skip::record(
            "netns::changed_layout_forth_and_back_leaks_nothing",
            "gateway-layout-next is not built; `cargo xtask test` builds it",
        );
    };
    let lab = Lab::build()?;
    let mut gateway = lab.gateway(&lab.settings())?;
    gateway.start()?;
    let layout = gateway.status()?.kernel.layout;
    let flood = ban_and_flood(&lab, &gateway)?;
    for (file, same) in [(next, false), (binary()?, true)] {
        ensure!(gateway.stop()?.success());
        gateway.use_binary(file);
        flood_goes_on(&flood)?;
        gateway.start()?;
        flood_goes_on(&flood)?;
        assert_eq!(gateway.status()?.kernel.layout == layout, same);
        assert_eq!(gateway.bans()?.len(), 2);
    }
    // The filter says itself what the kernel ran.
    for version in [1, 2] {
        let said = format!("map layout {version} in the kernel");
        ensure!(gateway.folders.log().contains(&said), "{said}: {}", gateway.folders.log());
    }
    nothing_leaked(&lab, flood)
}

#[test]
fn changed_capacity_leaks_nothing() -> Result<()> {
    if skip::without_root("netns::changed_capacity_leaks_nothing")? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let flood = ban_and_flood(&lab, &gateway)?;
    // Half of the flood is dropped by a list from now on.
    let list = gateway.folders.root.join("theirs.txt");
    std::fs::write(&list, format!("{FLOOD_V4}\n192.0.2.1\n"))?;
    gateway.must(&["block", "import", &list.to_string_lossy()])?;
    gateway.must(&["block", "rm", FLOOD_V4])?;
    for hosts in [20_000, 5_000] {
        settings.kernel = format!(
            "attach = \"native\"\n\
             capacity = {{ hosts = {hosts}, prefixes = 500, dynamic = 200, allow = 50, limits = 1024 }}"
        );
        gateway.configure(&settings)?;
        gateway.kill_guard()?;
        gateway.start()?;
        flood_goes_on(&flood)?;
        let maps = gateway.status()?.kernel.maps;
        let bans = 2 * (hosts + 500) + 200;
        ensure!(maps.iter().any(|map| map.capacity == bans), "{maps:?}");
        assert_eq!(gateway.bans()?.len(), 3);
    }
    nothing_leaked(&lab, flood)
}
