//! Bodies that no serializer would write again.

use bytes::Bytes;

use crate::dice::Dice;

/// The longest body of a simulated event.
pub(crate) const MOST_BYTES: usize = 4_096;

/// The body of the `number`-th event.
pub(crate) fn draw(dice: &mut Dice, number: u64) -> Bytes {
    let space = match dice.range(0, 3) {
        0 => String::new(),
        space => format!("\"space\":{{\"id\":\"s{space}\"}},"),
    };
    let filler = if dice.per_mille(50) { MOST_BYTES - 200 } else { dice.range(0, 60) as usize };
    let text = format!(
        "{{ {space}\"event\" :\"messages\",\t\"n\":{number},\"big\": 1E400, \"b\":18446744073709551617123,\n \
         \"s\":\"\\ud800 \\u0041\\/\", \"n\":{number}.0 ,\"f\":\"{}\"  }}",
        "x".repeat(filler)
    );
    Bytes::from(text)
}
