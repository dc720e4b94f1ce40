//! The flags of `oneloop serve` for limits, made from the table of [`crate::limits`].

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::units::{Ms, Size, number};
use crate::limits::{Audience, Limits, SETTINGS, Setting, Unit};

/// The limits: those given as flags, defaults for the others.
#[derive(Clone, Debug)]
pub(super) struct LimitArgs(pub(super) Limits);

impl Args for LimitArgs {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LimitArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = LimitArgs(Limits::default());
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<u64>(setting.flag) {
                (setting.set)(&mut self.0, *value);
            }
        }
        Ok(())
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let (help, reason) = texts(setting);
    let argument = Arg::new(setting.flag)
        .long(setting.flag)
        .action(ArgAction::Set)
        .default_value(shown(setting, (setting.get)(&Limits::default())))
        .value_parser(parser(setting))
        .long_help(format!("{help}\n\n{reason}"))
        .help(help)
        .help_heading(setting.heading)
        .hide_short_help(setting.audience == Audience::Advanced);
    match setting.unit {
        Unit::Time => argument.value_name("TIME"),
        Unit::Bytes => argument.value_name("SIZE"),
        Unit::Count => argument.value_name("N"),
        Unit::Choice => argument.value_name(setting.flag.to_uppercase()),
    }
}

fn parser(setting: &'static Setting) -> ValueParser {
    if setting.unit == Unit::Choice {
        let value = |(name, help): &(&'static str, &'static str)| PossibleValue::new(*name).help(*help);
        let number = |name: String| {
            setting.choices.iter().position(|(choice, _)| *choice == name).unwrap_or_default() as u64
        };
        return PossibleValuesParser::new(setting.choices.iter().map(value)).map(number).into();
    }
    let parse = move |text: &str| -> Result<u64, String> {
        let (min, max) = setting.bounds;
        let value = match setting.unit {
            Unit::Time => text.parse::<Ms>()?.0.into(),
            Unit::Bytes => text.parse::<Size>()?.0,
            Unit::Count | Unit::Choice => return number(text, min, max),
        };
        if value < min {
            return Err(format!("it must be at least {}", shown(setting, min)));
        }
        if value > max {
            // Times have their own message. Of two sizes, the shorter one is easier to read.
            let (most, beyond) = (shown(setting, max), shown(setting, max + 1));
            return Err(if beyond.len() < most.len() {
                format!("it must be less than {beyond}")
            } else {
                format!("it must be at most {most}")
            });
        }
        Ok(value)
    };
    parse.into()
}

/// A value in the form in which users type it.
fn shown(setting: &Setting, value: u64) -> String {
    match setting.unit {
        Unit::Time => Ms(u32::try_from(value).unwrap_or(u32::MAX)).to_string(),
        Unit::Bytes => Size(value).to_string(),
        Unit::Count => value.to_string(),
        Unit::Choice => setting.choices.get(value as usize).map_or("", |(name, _)| name).to_owned(),
    }
}

/// What a setting limits, and why, for the help: names of other limits are written as their flags.
fn texts(setting: &Setting) -> (String, String) {
    let text = setting.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
    let text = SETTINGS
        .iter()
        .fold(text, |text, other| text.replace(&format!("`{}`", other.field), &format!("--{}", other.flag)));
    let (help, reason) = text.split_once("\n\n").unwrap_or((&text, ""));
    let line = |paragraph: &str| paragraph.replace('\n', " ").replace('`', "");
    (line(help).trim_end_matches('.').to_owned(), line(reason))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use clap::{CommandFactory, Parser};

    use super::super::Cli;
    use super::*;
    use crate::limits::Overflow;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: LimitArgs,
    }

    fn parsed(args: &[&str]) -> Limits {
        let alone = Alone::try_parse_from([&["x"], args].concat());
        alone.unwrap_or_else(|error| panic!("{error}")).args.0
    }

    #[test]
    fn without_a_flag_all_limits_are_the_defaults() {
        assert_eq!(parsed(&[]), Limits::default());
    }

    #[test]
    fn flags_set_limits_in_their_units() {
        let limits =
            parsed(&["--idle=0", "--drain=1h", "--linger-bytes=64KiB", "--overflow=evict", "--clients=2"]);
        assert_eq!((limits.idle_ms, limits.drain_ms, limits.linger_bytes_max), (0, 3_600_000, 65_536));
        assert_eq!((limits.overflow, limits.clients_max), (Overflow::Evict, 2));
    }

    #[test]
    fn every_limit_is_set_by_its_own_flag_and_takes_its_bounds_only() {
        for setting in SETTINGS {
            let (min, max) = setting.bounds;
            let typed = |value| format!("--{}={}", setting.flag, shown(setting, value));
            for value in [min, max].into_iter().filter(|value| *value < u64::from(u32::MAX)) {
                let mut expected = Limits::default();
                (setting.set)(&mut expected, value);
                let limits = parsed(&[&typed(value)]);
                assert_eq!((limits, (setting.get)(&expected)), (expected, value), "{}", typed(value));
            }
            let beyond = match setting.unit {
                Unit::Time => "50days".to_owned(),
                Unit::Bytes if max == u64::MAX => "16777216TiB".to_owned(),
                Unit::Choice => "other".to_owned(),
                _ => (max + 1).to_string(),
            };
            let wrong = [format!("--{}={beyond}", setting.flag), format!("--{}=-1", setting.flag)];
            let below = (min > 0).then(|| format!("--{}={}", setting.flag, min - 1));
            for typed in wrong.into_iter().chain(below) {
                assert!(Alone::try_parse_from(["x", &typed]).is_err(), "{typed}");
            }
        }
    }

    #[test]
    fn a_value_beyond_its_bounds_is_reported_with_the_bound() {
        let reported = |flag: &str| Alone::try_parse_from(["x", flag]).err().unwrap().to_string();
        for (flag, part) in [
            ("--inbox=1", "it must be at least 512"),
            ("--outbox=1023", "it must be at least 1KiB"),
            ("--inbox=4GiB", "it must be less than 4GiB"),
            ("--head-bytes=2G", "it must be at most 256KiB"),
            ("--clients=0", "it must be at least 1"),
            ("--events-per-turn=2M", "it must be at most 1048576"),
            ("--idle=50days", "it must be at most 49 days"),
        ] {
            assert!(reported(flag).contains(part), "{flag}: {}", reported(flag));
        }
    }

    #[test]
    fn every_limit_is_in_help_manual_and_completions() {
        let mut program = Cli::command();
        program.build();
        let serve = program.find_subcommand_mut("serve").unwrap();
        let (short, long) = (serve.render_help().to_string(), serve.render_long_help().to_string());
        let mut manual = Vec::new();
        clap_mangen::Man::new(serve.clone()).render(&mut manual).unwrap();
        let manual = String::from_utf8(manual).unwrap().replace("\\-", "-");
        let mut completions = Vec::new();
        clap_complete::generate(clap_complete::Shell::Bash, &mut program, "oneloop", &mut completions);
        let completions = String::from_utf8(completions).unwrap();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let one_line_long = one_line(&long);
        for setting in SETTINGS {
            let flag = format!("--{}", setting.flag);
            let (help, reason) = texts(setting);
            assert!(
                long.contains(&format!("{flag} <")) && manual.contains(&flag) && completions.contains(&flag),
                "{flag}"
            );
            assert_eq!(short.contains(&format!("{flag} <")), setting.audience == Audience::Basic, "{flag}");
            assert!(one_line_long.contains(&help) && one_line_long.contains(&reason), "{help} {reason}");
            assert!(!help.is_empty() && !reason.is_empty() && help.len() <= 110, "{flag}: {help}");
        }
    }

    #[test]
    fn the_page_about_limits_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md");
        if std::env::var_os("ONELOOP_UPDATE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), page(), "rewrite it with ONELOOP_UPDATE_DOCS=1");
    }

    /// Its table has the most important limits.
    #[test]
    fn the_readme_has_the_defaults() {
        let default = |flag: &str| {
            let flag = flag.trim_matches(['`', '-']);
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag).expect(flag);
            shown(setting, (setting.get)(&Limits::default()))
        };
        let readme = include_str!("../../README.md");
        let (_, section) = readme.split_once("\n## Limits and deadlines\n").unwrap();
        let (table, _) = section.split_once("\n\n[docs/limits.md]").unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| line.contains("`--")).collect();
        assert_eq!(rows.len(), 9);
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let defaults: Vec<String> = cells[2].split(", ").map(default).collect();
            let expected = match &defaults[..] {
                [one] if one == "0" => "off".to_owned(),
                [one] => one.clone(),
                [one, other] if one == other => format!("{one}each"),
                [bytes, window] => format!("{bytes}in{window}"),
                _ => panic!("{row}"),
            };
            assert_eq!(cells[3].replace(['`', ' '], ""), expected, "{row}");
        }
    }

    /// The page `docs/limits.md`.
    fn page() -> String {
        let mut page = String::from(
            "# Limits\n\n\
             All limits of a server: flags of `oneloop serve`, and fields of `oneloop::limits::Limits`.\n\n\
             This page is made from `src/limits.rs`: `ONELOOP_UPDATE_DOCS=1 cargo test --lib limits` rewrites it.\n",
        );
        let mut heading = "";
        for setting in SETTINGS {
            if heading != setting.heading {
                heading = setting.heading;
                let _ = write!(
                    page,
                    "\n## {heading}\n\n| flag | default | least | what | field |\n|---|---|---|---|---|\n"
                );
            }
            let default = shown(setting, (setting.get)(&Limits::default()));
            let least = match setting.unit {
                Unit::Choice => String::new(),
                _ => shown(setting, setting.bounds.0),
            };
            let (help, reason) = texts(setting);
            let mut choices = String::new();
            for (name, help) in setting.choices {
                let _ = write!(choices, " `{name}`: {help}.");
            }
            let _ = writeln!(
                page,
                "| `--{}` | {default} | {least} | {help}.{choices} {reason} | `{}` |",
                setting.flag, setting.field
            );
        }
        page
    }
}
