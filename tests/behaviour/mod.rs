//! One suite of behaviours, written once, and run through every binding of the storage: Rust, C
//! (blocking and through a queue), and Lua (plain, and in the phases of nginx).
//!
//! A call is an operation's name with arguments by name (`call.rs`), and each binding hands calls over
//! (`binding.rs`). Behaviours are plain functions, a file for each subject. This file says which
//! behaviour is tested through which binding.

mod binding;
#[cfg(feature = "capi")]
mod c_binding;
pub mod call;
mod configuration;
mod expiry;
mod lua_binding;
mod managing;
mod metadata;
mod mistakes;
mod phases;
mod rust_binding;
mod servers;
mod store;
mod storing;
mod streams;
mod text;
mod value;

/// One `#[test]` for each of the behaviours, through the binding that `$open` gives.
macro_rules! tests {
    ($open:path: $($module:ident { $($behaviour:ident,)* })*) => {
        $($(
            #[test]
            fn $behaviour() {
                super::store::run($open(), super::$module::$behaviour);
            }
        )*)*
    };
}

/// What every binding does.
macro_rules! common_tests {
    ($open:path) => {
        tests! { $open:
            storing {
                a_value_that_was_set_is_found,
                a_key_is_found_under_any_name,
                an_overwrite_changes_data_expiry_and_name,
                an_empty_value_is_a_value,
                similar_keys_are_different_sessions,
                a_delete_succeeds_with_and_without_a_row,
                a_value_of_8_mib_comes_back,
                a_key_too_long_for_the_index_fails_and_writes_nothing,
                a_set_that_fails_leaves_nothing_behind,
            }
            expiry {
                expiry_is_rounded_down_to_the_second,
                a_session_lives_to_the_end_of_its_last_second,
                a_missing_time_is_now,
                a_negative_ttl_stores_an_expired_session,
                an_old_key_lives_for_the_stale_ttl_at_most,
                remember_deletes_the_old_session,
                a_session_that_replaces_itself_lives_for_the_stale_ttl,
            }
            metadata {
                metadata_has_a_row_for_each_pair,
                a_repeated_pair_is_no_error,
                empty_lists_are_no_metadata,
                read_metadata_lists_live_sessions_with_their_expiry,
                a_delete_deletes_the_metadata,
                a_delete_deletes_the_metadata_where_nothing_cascades,
            }
            managing {
                revoke_ends_the_sessions_of_a_subject,
                revoke_does_not_count_expired_sessions,
                revoke_is_of_one_audience_and_spares_one_session,
                revoke_audience_ends_all_sessions_of_it,
                list_returns_keys_names_and_expiries,
                list_gives_pages,
                list_returns_when_a_key_was_first_saved_if_the_table_has_it,
                count_counts_live_sessions,
                a_session_is_counted_listed_and_touched_in_its_last_second,
                a_subject_without_an_audience_is_a_mistake,
                touch_changes_only_the_expiry,
                state_tells_how_a_session_ended,
                cleanup_deletes_expired_sessions,
                check_names_what_migrate_repairs,
                health_says_whether_the_table_can_be_read,
            }
            text {
                awkward_text_comes_back_byte_for_byte,
                an_awkward_old_key_is_that_key_and_no_other,
                text_that_cannot_be_stored_fails_and_writes_nothing,
            }
            servers {
                times_are_true_in_every_time_zone,
                rows_written_by_upstream_are_read_as_they_are,
                tables_may_have_other_names_and_another_schema,
                a_server_that_is_not_there_fails_in_time_and_is_named,
            }
        }
    };
}

/// What every binding does, and what only Lua can ask for.
macro_rules! lua_tests {
    ($($opener:ident::$binding:ident)*) => {
        $(
            mod $binding {
                common_tests!(super::$opener::$binding);
                tests! { super::$opener::$binding:
                    mistakes {
                        numbers_may_come_as_text,
                        get_and_delete_need_no_time,
                        a_set_needs_no_more_than_its_first_five_arguments,
                        a_wrong_argument_is_raised_with_its_name_and_place,
                    }
                    configuration {
                        new_gives_a_table,
                        an_instance_cannot_be_changed,
                        a_wrong_configuration_is_raised_with_its_key,
                        a_password_is_in_no_error,
                        numbers_and_names_have_more_than_one_spelling,
                        the_other_spelling_of_the_table_keys_works,
                        the_database_is_named_after_the_user,
                        connections_have_the_configured_application_name,
                    }
                }
            }
        )*
    };
}

mod rust {
    common_tests!(super::rust_binding::open);
}

#[cfg(feature = "capi")]
mod c {
    common_tests!(super::c_binding::open);
}

#[cfg(feature = "capi")]
mod c_queue {
    common_tests!(super::c_binding::open_queue);
}

lua_tests! {
    streams::luajit
    streams::nginx_init_worker
    phases::nginx_rewrite
    phases::nginx_access
    phases::nginx_content
    phases::nginx_timer
    phases::nginx_header_filter
    phases::nginx_log
}
