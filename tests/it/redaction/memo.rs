//! What the memo keeps of lists changes nothing but the time that they take: with it, an answer is byte for byte
//! what it is without, whatever came before and however it is split.

use std::sync::Arc;

use super::json_bodies::{PLANS, Way};
use super::properties::{node, way};
use docker_proxy_acl::filter::json::Framing;
use docker_proxy_acl::filter::memo::{MAX_KEPT, Memo};
use docker_proxy_acl::filter::redact::{FilterError, Redactor};
use docker_proxy_acl::policy::visibility::Lists;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What comes out of an answer in these parts.
fn pass(way: &Way, memo: Option<&Arc<Memo>>, parts: &[&[u8]]) -> (Vec<u8>, Option<FilterError>) {
    let mut redactor = Redactor::new(Arc::clone(&way.plan), way.framing, way.lists);
    if let Some(memo) = memo {
        redactor = redactor.with_memo(memo.recall("/containers/json"));
    }
    let mut out = Vec::new();
    for part in parts {
        if let Err(error) = redactor.push(part, &mut out) {
            return (out, Some(error));
        }
    }
    let error = redactor.finish().err();
    (out, error)
}

/// The item of an object with this number, long enough to be kept.
fn item(number: usize, rest: &str) -> String {
    format!(
        r#"{{"Id":"{number:0120}","Names":["/A{number}"],"Env":["A=1","B=2"],"Labels":{{"a":"1","c":"2"}},"x":{rest}}}"#
    )
}

/// A list as an engine writes it, now and then with white space or something that is no object.
fn list() -> impl Strategy<Value = String> {
    let rest = prop_oneof![4 => select(vec!["1", "2"]).prop_map(str::to_owned), 1 => node().prop_map(|node| node.written())];
    let object = (0..5_usize, rest).prop_map(|(number, rest)| item(number, &rest));
    let any = prop_oneof![9 => object, 1 => select(vec!["1", "{}", "[]", "{\"a\":1,\"a\":2}"]).prop_map(str::to_owned)];
    let comma = select(vec![",", ",", ",", " , ", ",,"]);
    let end = select(vec!["]", "]", "]", "]\n", "", "}"]);
    vec((any, comma), 0..6).prop_flat_map(move |items| {
        end.clone().prop_map(move |end| {
            let mut list = String::from("[");
            for (number, (item, comma)) in items.iter().enumerate() {
                if number > 0 {
                    list.push_str(comma);
                }
                list.push_str(item);
            }
            list + end
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_what_came_before_an_answer_is_what_it_is_without(answers in vec(list(), 1..5), way in way(), part in 1..900_usize) {
        let way = Way { lists: Lists::Root, ..way };
        let memo = Arc::new(Memo::default());
        for answer in answers.iter().chain(&answers) {
            let parts: Vec<&[u8]> = answer.as_bytes().chunks(part).collect();
            prop_assert_eq!(pass(&way, Some(&memo), &parts), pass(&way, None, &parts));
            let whole = [answer.as_bytes()];
            prop_assert_eq!(pass(&way, Some(&memo), &whole), pass(&way, None, &whole));
        }
    }

    #[test]
    fn it_does_not_matter_where_a_list_is_split_that_came_before(answer in list(), way in way()) {
        let way = Way { lists: Lists::Root, ..way };
        let memo = Arc::new(Memo::default());
        pass(&way, Some(&memo), &[answer.as_bytes()]);
        for at in 0..=answer.len() {
            let parts = [&answer.as_bytes()[..at], &answer.as_bytes()[at..]];
            prop_assert_eq!(pass(&way, Some(&memo), &parts), pass(&way, None, &parts), "split at {}", at);
        }
    }
}

fn last_way() -> Way {
    Way { plan: Arc::clone(&PLANS[PLANS.len() - 1]), framing: Framing::Document, lists: Lists::Root }
}

#[test]
fn an_item_that_changed_in_one_byte_is_not_taken_for_the_one_that_came_before() {
    let way = last_way();
    let memo = Arc::new(Memo::default());
    let before = format!("[{},{}]", item(1, "1"), item(2, "1"));
    pass(&way, Some(&memo), &[before.as_bytes()]);
    for at in 0..before.len() {
        let mut answer = before.clone().into_bytes();
        answer[at] ^= 1;
        assert_eq!(pass(&way, Some(&memo), &[&answer]), pass(&way, None, &[&answer]), "{at}");
    }
}

#[test]
fn what_is_kept_does_not_grow_with_the_answers() {
    let way = last_way();
    let memo = Arc::new(Memo::default());
    let measured = allocation_counter::measure(|| {
        for answer in 0..200 {
            let items = (0..500).map(|number| item(answer * 500 + number, "1"));
            let answer = format!("[{}]", items.collect::<Vec<_>>().join(","));
            drop(pass(&way, Some(&memo), &[answer.as_bytes()]));
        }
    });
    let left = usize::try_from(measured.bytes_current).unwrap();
    assert!(left > MAX_KEPT / 2 && left < MAX_KEPT * 3 / 2, "{left} bytes");
}

#[test]
fn an_item_is_passed_once_for_all_answers_that_have_it() {
    let way = last_way();
    let memo = Arc::new(Memo::default());
    let answer = format!("[{}]", (0..20).map(|number| item(number, "1")).collect::<Vec<_>>().join(","));
    let allocated =
        || allocation_counter::measure(|| drop(pass(&way, Some(&memo), &[answer.as_bytes()]))).count_total;
    let (first, second) = (allocated(), allocated());
    assert!(second + 20 < first, "{first} allocations, then {second}");
}
