//! One suite of behaviours, written once, and run through every door that leads to the storage.
//!
//! A door is a way to call the storage (`door.rs`); `doors.rs` and `streams.rs` open them.
//! Behaviours are plain functions, a file for each subject. This file says which behaviour goes
//! through which door.

#[cfg(feature = "capi")]
mod c_door;
#[cfg(feature = "capi")]
mod c_library;
mod configuration;
mod door;
mod doors;
mod expiry;
mod lua_door;
mod managing;
mod metadata;
mod mistakes;
mod request;
mod rust_door;
mod servers;
mod store;
mod storing;
mod streams;
mod text;
mod value;

/// One `#[test]` for each of the behaviours, through the door that `$open` opens.
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

/// What every door does.
macro_rules! common_tests {
    ($open:path) => {
        tests! { $open:
            storing {
                a_value_that_was_set_is_found,
                a_miss_is_nothing_at_all,
                a_key_is_found_under_any_name,
                an_overwrite_changes_data_expiry_and_name,
                an_empty_value_is_a_value,
                keys_do_not_get_in_each_others_way,
                a_delete_succeeds_with_and_without_a_row,
                a_value_of_8_mib_comes_back,
                a_key_too_long_for_the_index_fails_and_writes_nothing,
                a_set_that_fails_leaves_nothing_behind,
            }
            expiry {
                expiry_is_rounded_down_to_the_second,
                a_session_lives_to_the_end_of_its_last_second,
                a_missing_time_is_now,
                a_negative_ttl_stores_a_session_that_is_over,
                an_old_key_lives_for_the_stale_ttl,
                an_old_key_never_lives_longer_for_being_old,
                an_old_key_that_is_gone_is_no_error,
                remember_deletes_the_old_session,
                a_session_that_replaces_itself_lives_for_the_stale_ttl,
            }
            metadata {
                metadata_has_a_row_for_each_pair,
                a_repeated_pair_is_no_error,
                empty_lists_are_no_metadata,
                read_metadata_lists_live_sessions_with_their_expiry,
                read_metadata_of_nobody_is_an_empty_table,
                a_delete_takes_the_metadata_along,
                a_delete_takes_the_metadata_along_where_nothing_cascades,
            }
            managing {
                revoke_ends_the_sessions_of_a_subject,
                revoke_does_not_count_what_is_over,
                revoke_spares_one_session,
                revoke_is_of_one_audience,
                revoke_audience_ends_everybodys_sessions_in_it,
                revoke_takes_the_metadata_along_where_nothing_cascades,
                list_tells_keys_names_and_ends,
                list_gives_pages,
                list_tells_when_a_key_was_first_saved_where_the_table_does,
                count_counts_live_sessions,
                a_subject_without_an_audience_is_a_mistake,
                touch_changes_the_end_alone,
                cleanup_deletes_what_is_over,
                check_names_what_migrate_repairs,
                health_says_whether_the_table_can_be_read,
            }
            text {
                awkward_text_comes_back_byte_for_byte,
                an_awkward_old_key_is_that_key_and_no_other,
                a_nul_byte_fails_and_writes_nothing,
                invalid_utf8_fails_and_writes_nothing,
                an_empty_key_fails,
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

/// What every door does, and what only Lua can ask for.
macro_rules! lua_tests {
    ($($opener:ident::$door:ident)*) => {
        $(
            mod $door {
                common_tests!(super::$opener::$door);
                tests! { super::$opener::$door:
                    mistakes {
                        numbers_may_come_as_text,
                        get_and_delete_need_no_time,
                        a_set_needs_no_more_than_its_first_five_arguments,
                        a_wrong_type_is_raised_with_the_arguments_name_and_place,
                        a_missing_argument_is_raised,
                        a_number_that_is_no_time_is_raised,
                        lists_of_different_lengths_are_raised,
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
    common_tests!(super::rust_door::open);
}

#[cfg(feature = "capi")]
mod c {
    common_tests!(super::c_door::open);
}

#[cfg(feature = "capi")]
mod c_queue {
    common_tests!(super::c_door::open_queue);
}

lua_tests! {
    streams::luajit
    streams::nginx_init_worker
    doors::nginx_rewrite
    doors::nginx_access
    doors::nginx_content
    doors::nginx_timer
    doors::nginx_header_filter
    doors::nginx_log
}
