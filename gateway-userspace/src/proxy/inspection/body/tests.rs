use super::{multipart::Oddity, *};

const FORM: &[u8] = b"multipart/form-data; boundary=XyZ";

fn form(body: &str) -> multipart::Form {
    multipart::read(FORM, body.as_bytes(), &Limits::default())
}

fn part(head: &str, value: &str) -> String {
    format!("--XyZ\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n--XyZ--\r\n")
}

#[test]
fn fields_and_files_of_a_form_are_told() {
    let body = "--XyZ\r\nContent-Disposition: form-data; name=\"a\\\"b\"\r\n\r\none\r\ntwo\r\n\
                --XyZ\r\nContent-Disposition: form-data; name=f; filename=\"x.php\"\r\n\
                Content-Type: text/plain\r\n\r\n12345\r\n--XyZ--\r\n";
    let form = form(body);
    assert_eq!(form.error, None);
    assert_eq!(form.arguments[0].name, b"a\"b");
    assert_eq!(form.arguments[0].value, b"one\r\ntwo");
    assert_eq!((form.files[0].filename.as_slice(), form.files[0].size), (&b"x.php"[..], 5));
    assert_eq!(form.part_headers.len(), 3);
    assert!(form.oddities.is_empty());
}

#[test]
fn what_readers_differ_about_is_told() {
    let odd = |body: &str| form(body).oddities;
    assert_eq!(odd(&part("name=\"a\"", "1").replace("\r\n\r\n1", "\n\n1")), [Oddity::LfLine]);
    assert_eq!(odd(&format!("x\r\n{}", part("name=a", "1"))), [Oddity::DataBefore]);
    assert_eq!(odd(&format!("{}x", part("name=a", "1"))), [Oddity::DataAfter]);
    assert_eq!(odd(&part("name='a'", "1")), [Oddity::InvalidQuoting]);
    assert_eq!(odd(&part("name=\"a\" filename=\"b\"", "1")), [Oddity::MissingSemicolon]);
    assert_eq!(odd(&part("name=a", "1\r\n--xyz\r\n2")), [Oddity::UnmatchedBoundary]);
    assert_eq!(odd(&part("\r\n name=a", "1")), [Oddity::HeaderFolding]);
}

#[test]
fn what_has_no_one_reading_is_an_error() {
    for body in [
        "--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n".to_owned(),
        part("name=a; name=b", "1"),
        part("name=a; filename*=utf-8''x", "1"),
        part("filename=a", "1"),
        part("name=\"a", "1"),
        part("name=a\r\nContent-Disposition: form-data; name=b", "1"),
        "--XyZ x\r\n\r\n--XyZ--\r\n".to_owned(),
        format!("{}--XyZ\r\n", part("name=a", "1")),
        "--XyZ\r\n\r\n1\r\n--XyZ--\r\n".to_owned(),
    ] {
        assert!(form(&body).error.is_some(), "{body:?}");
    }
    for kind in
        ["multipart/form-data", "multipart/form-data; boundary=", "x; boundary=a; boundary=b"]
    {
        let read =
            multipart::read(kind.as_bytes(), part("name=a", "1").as_bytes(), &Limits::default());
        assert!(read.error.is_some(), "{kind}");
    }
}

#[test]
fn json_is_named_as_rules_name_it() {
    let read = json::read(br#"{"a":{"b":["x",{"c":1}]},"d":null,"e":true}"#, &Limits::default());
    assert_eq!(read.error, None);
    let names: Vec<_> =
        read.arguments.iter().map(|one| String::from_utf8_lossy(&one.name).into_owned()).collect();
    assert_eq!(names, ["json.a.b.array_0", "json.a.b.array_1.c", "json.d", "json.e"]);
    for bad in ["[1", "{} x", "{\"a\":01}"] {
        assert!(json::read(bad.as_bytes(), &Limits::default()).error.is_some(), "{bad}");
    }
}

#[test]
fn xml_is_text_and_attributes_and_expands_nothing() {
    let read = xml::read(b"<a x='1 &lt; 2'><b>one</b><![CDATA[<two>]]></a>", &Limits::default());
    assert_eq!((read.text.as_slice(), read.error), (&b"one<two>"[..], None));
    assert_eq!(read.attributes, [b"1 < 2".to_vec()]);
    for bad in [
        "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        "<a>&x;</a>",
        "<a>",
        "<a/><b/>",
        "text",
        "<a x='1' x='2'/>",
    ] {
        assert!(xml::read(bad.as_bytes(), &Limits::default()).error.is_some(), "{bad}");
    }
}
