//! `protoc` as far as build scripts use it: protocol files in, one file of descriptors out.
//!
//! Compiled by `protox`, so that nothing has to be installed. Understood is what `prost-build` passes:
//! `--include_imports --include_source_info -o FILE -I DIRECTORY .. FILE ..`

use std::ffi::OsString;
use std::path::PathBuf;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    include_imports: bool,
    include_source_info: bool,
    output: PathBuf,
    includes: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let request = Request::parse(std::env::args_os().skip(1))?;
    let mut compiler = protox::Compiler::new(&request.includes)?;
    compiler.include_imports(request.include_imports).include_source_info(request.include_source_info);
    compiler.open_files(&request.files)?;
    std::fs::write(&request.output, compiler.encode_file_descriptor_set())?;
    Ok(())
}

impl Request {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut request = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().map(PathBuf::from).ok_or(format!("{argument:?} needs a value"));
            match argument.to_str() {
                Some("--include_imports") => request.include_imports = true,
                Some("--include_source_info") => request.include_source_info = true,
                Some("-o") => request.output = value()?,
                Some("-I") => request.includes.push(value()?),
                Some(option) if option.starts_with('-') => {
                    return Err(format!("this protoc does not know {option}; set PROTOC to the path of another"));
                }
                _ => request.files.push(argument.into()),
            }
        }
        if request.output.as_os_str().is_empty() || request.files.is_empty() {
            return Err(
                "usage: protoc [--include_imports] [--include_source_info] -o FILE -I DIRECTORY.. FILE..".into()
            );
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_arguments_of_a_build_script_are_understood() {
        let request = parse("--include_imports --include_source_info -o out -I proto -I more a.proto b.proto").unwrap();
        let expected = Request {
            include_imports: true,
            include_source_info: true,
            output: "out".into(),
            includes: vec!["proto".into(), "more".into()],
            files: vec!["a.proto".into(), "b.proto".into()],
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(parse("--cpp_out=. a.proto").unwrap_err().contains("--cpp_out=."));
        assert!(parse("-I proto -o").unwrap_err().contains("needs a value"));
        assert!(parse("-I proto a.proto").unwrap_err().contains("usage"));
    }
}
