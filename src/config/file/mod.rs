//! The configuration file: TOML, read strictly, with everything that is wrong in it at once.

mod certificates;
mod place;
mod reader;
mod schema;
mod show;

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::de::DeTable;

use super::error::{ConfigError, ConfigProblem, Scope};
use super::{Config, DockerEnv, Setting, Settings};
use reader::Problem;
use schema::Schema;
pub use show::{show, show_rights};

/// A file whose form is right, before it is known what it means.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
    problems: Vec<Problem>,
    /// What is said beside the file.
    elsewhere: Vec<Setting>,
    /// What it says, with the defaults for the rest. More may be said elsewhere, and then wins.
    pub settings: Settings,
}

/// Why a file cannot be used. Its `Display` has a line for each problem.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        error: std::io::Error,
    },
    /// Something is wrong in it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<FileProblem>),
}

/// What is wrong at one place of a file, or in what is said beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileProblem {
    /// The file, the line and the column, both counted from 1; `None` if it is not in the file.
    place: Option<(PathBuf, usize, usize)>,
    message: String,
}

impl ConfigFile {
    /// Reads a file. `defaults` are those of a program without any flag.
    ///
    /// # Errors
    /// [`FileError::Unreadable`], or if its text is not TOML at all.
    pub fn read(path: &Path, defaults: &Settings, docker: DockerEnv) -> Result<Self, FileError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let text = std::fs::read_to_string(&path)
            .map_err(|error| FileError::Unreadable { path: path.clone(), error })?;
        let (settings, problems) = {
            let (table, errors) = DeTable::parse_recoverable(&text);
            if !errors.is_empty() {
                let problem = |error: &toml::de::Error| {
                    let offset = error.span().map_or(0, |span| span.start);
                    FileProblem::at(&path, &text, offset, error.message().to_owned())
                };
                return Err(FileError::Invalid(errors.iter().map(problem).collect()));
            }
            Schema { path: &path, text: &text, defaults }.settings(table.get_ref(), docker)
        };
        Ok(Self { path, text, problems, elsewhere: Vec::new(), settings })
    }

    /// Notes that what counts of a setting of the whole process is said elsewhere, not in the file.
    pub fn said_elsewhere(&mut self, setting: Setting) {
        self.elsewhere.push(setting);
    }

    /// What it means, with certificates that can be used. A reload leaves it at [`ConfigFile::config`]: those that
    /// serve stay in use then, and rights can be taken away whatever has become of a certificate.
    ///
    /// # Errors
    /// As [`ConfigFile::config`].
    pub fn checked_config(&self, spell: impl Fn(&ConfigError) -> String) -> Result<Config, FileError> {
        let config = self.config(spell)?;
        let problem = |(scope, key, error): &certificates::Unusable| {
            let message = format!("'{key}': {error}");
            match place::find(&self.text, *scope, Some(key), None) {
                Some(offset) => FileProblem::at(&self.path, &self.text, offset, message),
                None => FileProblem { place: None, message },
            }
        };
        let problems: Vec<FileProblem> =
            certificates::unusable(&self.settings, &config).iter().map(problem).collect();
        if problems.is_empty() { Ok(config) } else { Err(FileError::Invalid(problems)) }
    }

    /// What it means.
    ///
    /// # Errors
    /// [`FileError::Invalid`] with all that is wrong; what was said elsewhere is named as `spell` does.
    pub fn config(&self, spell: impl Fn(&ConfigError) -> String) -> Result<Config, FileError> {
        let meaning = Config::new(&self.settings);
        let mut problems: Vec<FileProblem> = Vec::new();
        if self.settings.listeners.is_empty() && self.problems.is_empty() {
            let message = "there is no listener; add a table [[listener]] with an 'address'".to_owned();
            problems.push(FileProblem::at(&self.path, &self.text, 0, message));
        }
        let form = self.problems.iter();
        problems.extend(
            form.map(|(offset, text)| FileProblem::at(&self.path, &self.text, *offset, text.clone())),
        );
        if let Err(meant) = &meaning {
            problems.extend(meant.iter().map(|problem| self.problem(problem, &spell)));
        }
        problems.sort();
        problems.dedup();
        match meaning {
            Ok(config) if problems.is_empty() => Ok(Config { file: Some(self.path.clone()), ..config }),
            _ => Err(FileError::Invalid(problems)),
        }
    }

    fn problem(
        &self,
        ConfigProblem { scope, error }: &ConfigProblem,
        spell: &impl Fn(&ConfigError) -> String,
    ) -> FileProblem {
        let (setting, value) = error.setting().unzip();
        let is_elsewhere =
            *scope == Scope::Global && setting.is_some_and(|one| self.elsewhere.contains(&one));
        let key = setting.map(schema::key);
        match place::find(&self.text, *scope, key, value.flatten()).filter(|_| !is_elsewhere) {
            Some(offset) => FileProblem::at(&self.path, &self.text, offset, describe(error)),
            None => FileProblem { place: None, message: spell(error) },
        }
    }
}

/// The error in the words of the file.
fn describe(error: &ConfigError) -> String {
    match error {
        ConfigError::NothingAllowed => {
            "this listener allows nothing; give it 'allow' with at least one name, or rules for clients"
                .to_owned()
        }
        _ => error.message(|setting| format!("'{}'", spelled(setting))),
    }
}

fn spelled(setting: Setting) -> &'static str {
    match setting {
        Setting::DockerHost | Setting::ContainerHost => setting.name(),
        _ => schema::key(setting),
    }
}

impl FileProblem {
    fn at(path: &Path, text: &str, offset: usize, message: String) -> Self {
        let (line, column) = line_and_column(text, offset);
        Self { place: Some((path.to_owned(), line, column)), message }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((path, line, column)) = &self.place {
            write!(f, "{}:{line}:{column}: ", path.display())?;
        }
        f.write_str(&self.message)
    }
}

/// The line and the column of an offset, both counted from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
