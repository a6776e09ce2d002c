//! The examples run to their end: each fails if an order is lost.

#[path = "../examples/faults.rs"]
mod faults;
#[path = "../examples/lambda_on_a_queue.rs"]
mod orders;

#[test]
fn an_order_is_stored() -> Result<(), Box<dyn std::error::Error>> {
    orders::main()
}

#[test]
fn no_order_is_lost_whatever_goes_wrong() -> Result<(), Box<dyn std::error::Error>> {
    faults::main()
}
