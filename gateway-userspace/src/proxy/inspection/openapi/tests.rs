use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Breach, Contract, Fault, Settings,
    judge::BreachKind::{self, Method as NoMethod, *},
};

const PAYMENTS: &str = include_str!("payments.yaml");
const COMMON: &str = include_str!("common.yaml");

fn compiled(closed: bool) -> Contract {
    let texts = [
        ("payments.yaml".to_owned(), PAYMENTS.as_bytes().to_vec()),
        ("common.yaml".to_owned(), COMMON.as_bytes().to_vec()),
    ];
    Contract::compile(&texts, &Settings { base: None, closed }).unwrap()
}

fn fields(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(field).collect()
}

/// What is wrong with a head, or which query parameters are unknown.
fn head(method: &Method, target: &str, more: &[(&str, &str)]) -> Result<Vec<String>, BreachKind> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let contract = compiled(true);
    let known = contract.head(method, path, query, &fields(more));
    known.map(|known| known.unknown).map_err(|breach| breach.kind)
}

fn post(contract: &Contract, body: &[u8], strip: bool) -> Result<Option<Vec<u8>>, Breach> {
    let key = fields(&[("idempotency-key", "0123456789")]);
    let known = contract.head(&Method::POST, "/v1/payments", "", &key).unwrap();
    contract.body(known.operation, Some(b"application/json"), body, strip)
}

fn payment() -> Value {
    json!({
        "amount": {"value": 1250, "currency": "EUR"},
        "to": {"iban": "DE89370400440532013000"},
        "note": null
    })
}

#[test]
fn paths_and_methods_are_those_of_the_contract() {
    assert_eq!(head(&Method::GET, "/v1/payments/17", &[]), Ok(vec![]));
    assert_eq!(head(&Method::HEAD, "/v1/payments/17", &[]), Ok(vec![]));
    assert_eq!(head(&Method::GET, "/payments/17", &[]), Err(Path), "the server's path is missing");
    assert_eq!(head(&Method::GET, "/v1/refunds", &[]), Err(Path));
    assert_eq!(head(&Method::DELETE, "/v1/payments/17", &[]), Err(NoMethod));
}

#[test]
fn parameters_are_what_their_schemas_take() {
    let get = |target: &str| head(&Method::GET, target, &[]);
    assert_eq!(get("/v1/payments?limit=20&state=open&state=paid"), Ok(vec![]));
    for bad in [
        "/v1/payments?limit=0",
        "/v1/payments?limit=0x10",
        "/v1/payments?limit=20&limit=30",
        "/v1/payments?limit=%32%30%ff",
        "/v1/payments?limit=",
        "/v1/payments?state=gone",
        "/v1/payments/zero",
        "/v1/payments/99999999999999999999",
    ] {
        assert_eq!(get(bad), Err(Parameter), "{bad}");
    }
    assert_eq!(get("/v1/payments?limit=20&debug=1"), Ok(vec!["debug".to_owned()]));
    assert_eq!(get("/v1/payments?api_key=x"), Ok(vec![]), "a credential of the contract's");
}

#[test]
fn fields_and_cookies_are_judged_too() {
    let post = |more: &[(&str, &str)]| head(&Method::POST, "/v1/payments", more);
    assert_eq!(post(&[]), Err(Parameter), "a required field is missing");
    assert_eq!(post(&[("idempotency-key", "0123456789")]), Ok(vec![]));
    assert_eq!(post(&[("idempotency-key", "short")]), Err(Parameter));
    let key = ("idempotency-key", "0123456789");
    assert_eq!(post(&[key, ("cookie", "a=b; tenant=7")]), Ok(vec![]));
    assert_eq!(post(&[key, ("cookie", "tenant=seven")]), Err(Parameter));
    assert_eq!(post(&[key, ("idempotency-key", "0123456789")]), Err(Parameter), "twice");
}

#[test]
fn every_style_of_a_list_and_an_object_is_read() {
    let good = [
        "/v1/styles/.1.2/;matrix=3;matrix=4?pipe=1|2&space=1%202&deep[a]=1&deep[b]=2&comma=1,2&x=1&y=2",
        "/v1/styles/.1/;matrix=3?pipe=1%7C2",
    ];
    for target in good {
        assert_eq!(head(&Method::GET, target, &[("x-point", "x,1,y,2")]), Ok(vec![]), "{target}");
    }
    let bad = [
        "/v1/styles/1.2/;matrix=3",
        "/v1/styles/.1/matrix=3",
        "/v1/styles/.a/;matrix=3",
        "/v1/styles/.1/;matrix=3?pipe=1|a",
        "/v1/styles/.1/;matrix=3?comma=1%2C2",
        "/v1/styles/.1/;matrix=3?deep[a]=one",
        "/v1/styles/.1/;matrix=3?x=one",
    ];
    for target in bad {
        assert_eq!(head(&Method::GET, target, &[]), Err(Parameter), "{target}");
    }
    let unknown = head(&Method::GET, "/v1/styles/.1/;matrix=3?deep[a][b]=1&deep[z]=1", &[]);
    assert_eq!(unknown, Err(Parameter), "a member that the object does not name");
    assert_eq!(
        head(&Method::GET, "/v1/styles/.1/;matrix=3", &[("x-point", "x,1,y")]),
        Err(Parameter)
    );
}

#[test]
fn bodies_are_what_their_schemas_take() {
    let contract = compiled(true);
    let kind = |body: &Value| {
        post(&contract, body.to_string().as_bytes(), false).map_err(|breach| breach.kind)
    };
    assert_eq!(kind(&payment()), Ok(None));
    let changed = |pointer: &str, value: Value| {
        let mut body = payment();
        *body.pointer_mut(pointer).unwrap() = value;
        kind(&body)
    };
    assert_eq!(changed("/amount/value", json!("12")), Err(Body));
    assert_eq!(changed("/amount/value", json!(0)), Err(Body), "the bound is exclusive");
    assert_eq!(changed("/amount/value", json!(u64::MAX)), Err(Body), "more than an int64");
    assert_eq!(changed("/amount/currency", json!("euro")), Err(Body));
    assert_eq!(
        changed("/amount", json!({"value": 1, "currency": "EUR", "fee": 0})),
        Err(UnknownMember)
    );
    assert_eq!(changed("/to", json!({"card": "tok_1"})), Ok(None), "the other choice");
    assert_eq!(changed("/to", json!({"card": "tok_1", "iban": "DE1"})), Err(UnknownMember));
    let mut own_id = payment();
    own_id["id"] = json!(5);
    assert_eq!(kind(&own_id), Err(UnknownMember), "a member that only answers have");
    let mut admin = payment();
    admin["approved"] = json!(true);
    assert_eq!(kind(&admin), Err(UnknownMember));
}

#[test]
fn unreadable_bodies_and_unknown_media_types_are_refused() {
    let contract = compiled(true);
    let kind = |body: &[u8]| post(&contract, body, false).unwrap_err().kind;
    assert_eq!(kind(b"{\"amount\":1,\"amount\":2}"), Unreadable);
    assert_eq!(kind(b"<xml/>"), Unreadable);
    let key = fields(&[("idempotency-key", "0123456789")]);
    let operation = contract.head(&Method::POST, "/v1/payments", "", &key).unwrap().operation;
    let judge = |media_type: Option<&[u8]>, body: &[u8]| {
        contract.body(operation, media_type, body, false).map_err(|breach| breach.kind)
    };
    let body = payment().to_string();
    assert_eq!(judge(Some(b"text/plain"), body.as_bytes()), Err(MediaType));
    assert_eq!(judge(None, body.as_bytes()), Err(MediaType));
    assert_eq!(judge(None, b""), Err(Presence));
    assert_eq!(judge(Some(b"application/json; charset=utf-8"), body.as_bytes()), Ok(None));
    let get = contract.head(&Method::GET, "/v1/payments", "", &HeaderMap::new()).unwrap();
    let body = contract.body(get.operation, Some(b"application/json"), b"{}", false);
    assert_eq!(body.unwrap_err().kind, Presence);
}

#[test]
fn forms_are_judged_like_objects() {
    let contract = compiled(true);
    let operation =
        contract.head(&Method::POST, "/v1/tokens", "", &HeaderMap::new()).unwrap().operation;
    let judge = |body: &[u8]| {
        let kind = Some(&b"application/x-www-form-urlencoded"[..]);
        contract.body(operation, kind, body, false).map_err(|breach| breach.kind)
    };
    assert_eq!(judge(b"grant=code&ttl=60&scope=a&scope=b"), Ok(None));
    assert_eq!(judge(b"grant=code&ttl=soon"), Err(Body));
    assert_eq!(judge(b"ttl=60"), Err(Body));
    assert_eq!(judge(b"grant=code&grant=code"), Err(Unreadable));
    assert_eq!(judge(b"grant=code&admin=true"), Err(UnknownMember));
}

#[test]
fn what_is_unknown_can_be_taken_out_instead() {
    let contract = compiled(true);
    let mut body = payment();
    body["approved"] = json!(true);
    body["id"] = json!(5);
    body["amount"]["fee"] = json!(0);
    body["to"]["owner"] = json!({"x": 1});
    let sent = post(&contract, body.to_string().as_bytes(), true).unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&sent).unwrap(), payment());
    assert_eq!(post(&contract, payment().to_string().as_bytes(), true), Ok(None));
    let mut both = payment();
    both["to"] = json!({"card": "tok_1", "iban": "DE89370400440532013000"});
    let refused = post(&contract, both.to_string().as_bytes(), true).unwrap_err();
    assert_eq!(refused.kind, Body, "which of two was meant is not for the gateway to say");
    body["amount"]["value"] = json!("12");
    let refused = post(&contract, body.to_string().as_bytes(), true).unwrap_err();
    assert!(matches!(refused.kind, Body | UnknownMember), "what is wrong otherwise stays wrong");
}

#[test]
fn an_open_contract_lets_unknown_members_by_and_nothing_else() {
    let contract = compiled(false);
    let mut body = payment();
    body["approved"] = json!(true);
    assert_eq!(post(&contract, body.to_string().as_bytes(), false), Ok(None));
    body["amount"]["value"] = json!("12");
    assert_eq!(post(&contract, body.to_string().as_bytes(), false).unwrap_err().kind, Body);
    let known = contract.head(&Method::GET, "/v1/payments", "debug=1", &HeaderMap::new()).unwrap();
    assert!(known.unknown.is_empty());
}

#[test]
fn answers_are_what_was_promised() {
    let contract = compiled(true);
    let operation =
        contract.head(&Method::GET, "/v1/payments/17", "", &HeaderMap::new()).unwrap().operation;
    let judge = |status: u16, body: &Value, strip: bool| {
        let (status, kind) =
            (StatusCode::from_u16(status).unwrap(), Some(&b"application/json"[..]));
        let body = body.to_string();
        contract.answer(operation, status, kind, body.as_bytes(), strip).map_err(|b| b.kind)
    };
    let mut answer = payment();
    assert_eq!(judge(200, &answer, false), Err(Body), "an answer needs its id");
    answer["id"] = json!(17);
    assert_eq!(judge(200, &answer, false), Ok(None));
    answer["secret"] = json!("internal");
    assert_eq!(judge(200, &answer, false), Err(UnknownMember));
    let sent = judge(200, &answer, true).unwrap().unwrap();
    assert!(!String::from_utf8(sent).unwrap().contains("internal"));
    assert_eq!(judge(202, &answer, false), Err(Status));
    assert_eq!(judge(503, &json!({"any": "thing"}), false), Ok(None), "no promise of the API");
    assert_eq!(judge(404, &json!({"title": 5}), false), Err(Body), "4XX is promised");
}

#[test]
fn a_breach_tells_no_value() {
    let contract = compiled(true);
    let mut body = payment();
    body["to"] = json!({"iban": "SECRET-4111111111111111"});
    let breach = post(&contract, body.to_string().as_bytes(), false).unwrap_err();
    assert!(breach.what.contains("/to"), "{}", breach.what);
    assert!(!breach.what.contains("4111"), "{}", breach.what);
}

fn fault(text: &str) -> String {
    let texts = [("api.yaml".to_owned(), text.as_bytes().to_vec())];
    let settings = Settings { base: None, closed: true };
    let fault: Fault = Contract::compile(&texts, &settings).unwrap_err();
    fault.to_string()
}

#[test]
fn what_cannot_be_held_to_is_told_with_its_place() {
    let head = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n";
    let schema = |schema: &str| {
        format!(
            "{head}  /a:\n    post:\n      requestBody:\n        content:\n          \
             application/json:\n            schema: {schema}\n"
        )
    };
    for (text, told) in [
        ("swagger: '2.0'\n".to_owned(), "no OpenAPI 3.0 or 3.1"),
        ("openapi: 3.1.0\n".to_owned(), "/paths is missing"),
        ("a: [".to_owned(), "no YAML"),
        ("a: 1\na: 2\n".to_owned(), "no YAML"),
        ("{\"a\":1,\"a\":2}".to_owned(), "no JSON"),
        (format!("{head}  /a/{{id}}:\n    get: {{}}\n"), "describes {id}"),
        (format!("{head}  /a/{{id:\n    get: {{}}\n"), "names in braces"),
        (format!("{head}  '/a/{{x}}': {{}}\n  '/a/{{y}}': {{}}\n"), "cannot be told apart"),
        (schema("{$ref: 'https://example.net/s.json'}"), "none of the contract's files"),
        (schema("{$ref: '../../etc/passwd'}"), "none of the contract's files"),
        (schema("{$ref: '#/nowhere'}"), "where nothing stands"),
        (schema("{type: wrong}"), "no schema to hold to"),
        (schema("{type: string, pattern: '(?=a)b'}"), "no schema to hold to"),
        (schema("{type: string, pattern: '(a{1000}){1000}'}"), "no schema to hold to"),
    ] {
        let fault = fault(&text);
        assert!(fault.starts_with("api.yaml") && fault.contains(told), "{fault}\nfor {text}");
    }
}

#[test]
fn schemas_that_contain_themselves_end() {
    let text = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n  /tree:\n    post:\n      \
                requestBody:\n        required: true\n        content:\n          \
                application/json:\n            schema: {$ref: '#/components/schemas/Tree'}\n\
                components:\n  schemas:\n    Tree:\n      type: object\n      properties:\n        \
                name: {type: string, nullable: true}\n        \
                below: {type: array, items: {$ref: '#/components/schemas/Tree'}}\n";
    let texts = [("api.yaml".to_owned(), text.as_bytes().to_vec())];
    let settings = Settings { base: None, closed: true };
    let contract = Contract::compile(&texts, &settings).unwrap();
    let operation = contract.head(&Method::POST, "/tree", "", &HeaderMap::new()).unwrap().operation;
    let judge = |body: &Value| {
        let body = body.to_string();
        let judged = contract.body(operation, Some(b"application/json"), body.as_bytes(), false);
        judged.map_err(|breach| breach.kind)
    };
    assert_eq!(judge(&json!({"name": null, "below": [{"name": "a", "below": []}]})), Ok(None));
    assert_eq!(judge(&json!({"below": [{"below": [{"other": 1}]}]})), Err(UnknownMember));
}
